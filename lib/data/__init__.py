"""Videos with captions, from Toybox or from AI-Hub, and the batches that train a model to caption them.

    toybox_videos, read_aihub -> Video -> Example or Pair -> Collator -> vlm.model, inside vlm.looking_through(reducer)

A Video knows its frames and its captions, whatever it is made of. Examples are what the user says and what the model
should answer; Features encodes each clip once; the Collator makes the tensors. What it returns is what transformers'
Trainer, TRL and a loop in plain torch take alike. (`lib.packing` is the way of tiny's own training from nothing: many
short questions in one sequence, by a mask that no trainer but ours knows.)

Not in it: download AI-Hub (that takes a Korean account, and the data may not be passed on), several videos in one
prompt.
"""

from lib.data.aihub import read_aihub
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, Pair, Video, captioning, split, toybox_videos, unique
