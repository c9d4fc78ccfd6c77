"""From a folder of videos to a captioner: one file of settings, and the commands plan, train, caption, evaluate, merge.

    python -m lib plan     jobs/7b-t4.yaml              show whether the job fits, on which card, and how long it takes
    python -m lib train    jobs/tiny.yaml steps=50      train an adapter, or continue an interrupted run
    python -m lib caption  jobs/tiny.yaml clips/        write one JSON line per clip
    python -m lib evaluate jobs/tiny.yaml               score, with intervals, against the model before training
    python -m lib merge    jobs/tiny.yaml merged/       write full weights

`torchrun --nproc-per-node 2 -m lib train ...` trains with two processes and reaches the same losses.
"""
