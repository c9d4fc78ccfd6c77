"""Videos with captions, from Toybox or from AI-Hub, and the batches that train a model to caption them.

    toybox_videos, read_aihub -> Video -> Example or Pair -> Collator -> vlm.model, inside vlm.looking_through(reducer)

A Video has frames and captions, whether it is drawn or read from a file. An Example holds a user's request and the
right answer. Features encodes each clip once; the Collator makes the tensors. transformers' Trainer, TRL and a plain
torch loop all accept its batches. (Tiny's own training uses `lib.packing`: many short questions in one sequence, with a
mask that only our trainer supports.)

Not included: downloading AI-Hub (it needs a Korean account, and the data may not be passed on), and prompts with
several videos.
"""

from lib.data.aihub import read_aihub
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, Pair, Video, captioning, split, toybox_videos, unique
