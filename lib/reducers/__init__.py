"""Reducers: the features of a clip, (T, H, W, C), in; visual tokens, (N, D), out. One paper, one file."""

from lib.reducers.base import Kind, Reducer, VisualTokens, identity
from lib.reducers.dycoke import DyCoke
from lib.reducers.llama_vid import LlamaVid
from lib.reducers.llava_video import LlavaVideo
from lib.reducers.patch_merger import PatchMerger
from lib.reducers.slowfast_llava import SlowFastLlava
from lib.reducers.spatial_pool import SpatialPool

__all__ = [
    "DyCoke",
    "Kind",
    "LlamaVid",
    "LlavaVideo",
    "PatchMerger",
    "Reducer",
    "SlowFastLlava",
    "SpatialPool",
    "VisualTokens",
    "identity",
]
