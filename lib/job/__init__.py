"""From a folder of videos to a captioner: one file of settings, and the commands plan, train, caption, evaluate, merge.

    python -m lib plan     jobs/7b-t4.yaml              does it fit, on which card, how long
    python -m lib train    jobs/tiny.yaml steps=50      what was interrupted goes on
    python -m lib caption  jobs/tiny.yaml clips/        one JSON line per clip
    python -m lib evaluate jobs/tiny.yaml               scores with intervals, against the model before training
    python -m lib merge    jobs/tiny.yaml merged/       whole weights

`torchrun --nproc-per-node 2 -m lib train ...` trains with two processes to the same losses.
"""
