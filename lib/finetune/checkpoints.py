"""A run's checkpoint and log: an interrupted run continues from them; both are written atomically.

The checkpoint is one safetensors file: what was trained, the optimizer's moments, and the settings of the run. It does
not depend on the number of processes, so a run may go on with more or fewer. (Trainer's own checkpoint is a folder of
pickled files; a kill may leave half of it.)
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lib.files import differences, write_text, written_whole
from lib.finetune.adapters import tensor_digest
from lib.reducers import Reducer
from lib.vlm.model import VideoLM


class Step(NamedTuple):
    """One line of the log."""

    step: int  # from 1
    loss: float
    learning_rate: float
    seconds: float
    validation: float | None = None  # the loss on the validation examples, if measured after this step


def adapter_settings(vlm: VideoLM) -> dict[str, int | float | str | None]:
    """Rank, alpha, dropout, and the adapter's initial weights; nothing for a model without an adapter."""
    if not any("lora_" in name for name, _ in vlm.model.named_parameters()):
        return {}
    config, start = vlm.model.peft_config["default"], getattr(vlm.model, "adapter_start", None)
    return {"rank": config.r, "alpha": config.lora_alpha, "dropout": config.lora_dropout, "adapter": start}


def reducer_settings(reducer: Reducer) -> str:
    """The class of a reducer and its settings; its weights, and tensors among the settings, as a digest.

    >>> from lib.reducers import SpatialPool
    >>> reducer_settings(SpatialPool(4))
    "SpatialPool(stride=4, mode='average', project='after', newline='none', newline_embed=None, conv=None)"
    """
    hidden = ("training", "tokenizer")  # and what torch keeps under names with _
    values = {name: value for name, value in vars(reducer).items() if name[0] != "_" and name not in hidden}
    values |= reducer.state_dict()
    shown = (f"{n}={tensor_digest(v) if isinstance(v, Tensor) else repr(v)}" for n, v in values.items())
    return re.sub(" at 0x[0-9a-f]+", "", f"{type(reducer).__name__}({', '.join(shown)})")


@dataclass(frozen=True)
class Files:
    """The checkpoint and log of a run. `fingerprint(steps)` returns its settings, for that many steps or (None) all."""

    folder: Path
    fingerprint: Callable[[int | None], dict]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def again(self) -> str:
        return f"delete the folder {self.folder} to start from nothing"

    def save(self, weights: dict[str, nn.Parameter], optimizer, scaler, log: Sequence[Step]) -> None:
        """Writes the log first, so that it holds every line up to the checkpoint. Only the first process writes."""
        if int(os.environ.get("RANK", 0)):
            return
        tensors = {f"weight {name}": weight.detach() for name, weight in weights.items()}
        for name, weight in weights.items():
            tensors |= {f"{moment} {name}": tensor for moment, tensor in optimizer.state[weight].items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.log, "".join(json.dumps(step._asdict()) + "\n" for step in log))
        where = {
            "run": json.dumps(self.fingerprint(None)),
            "steps": str(len(log)),
            "scaler": json.dumps(scaler.state_dict() if scaler else {}),
        }
        with written_whole(self.checkpoint) as beside:
            save_file(tensors, beside, metadata=where)

    def read(self) -> list[Step]:
        """The log up to the checkpoint; [] if there is none. Raises ValueError for files of another run."""
        if not self.checkpoint.exists():
            return []
        where = self.metadata()
        before = json.loads(where.get("run", "{}"))
        now, steps = self.fingerprint(None), before.get("steps", 0)
        if 0 < steps < now["steps"]:  # prolonged
            now = self.fingerprint(steps)
        if changed := differences(before, now):
            raise ValueError(f"{self.folder} was begun with other settings ({changed}): keep those, or {self.again}")
        log = read_log(self.log)[: int(where["steps"])] if self.log.exists() else []
        if len(log) < int(where["steps"]):
            raise ValueError(f"{self.log} ends before its checkpoint (step {where['steps']}): {self.again}")
        return log

    def metadata(self) -> dict[str, str]:
        with self.opened() as file:
            return file.metadata() or {}

    @contextmanager
    def opened(self) -> Iterator:
        """The checkpoint. Raises ValueError if it is damaged."""
        try:
            with safe_open(self.checkpoint, framework="pt") as file:
                yield file
        except SafetensorError:
            raise ValueError(f"{self.checkpoint} is cut off or damaged: {self.again}") from None

    def load_weights(self, weights: dict[str, nn.Parameter]) -> None:
        """Loads the checkpoint into these weights, in place."""
        with self.opened() as file, torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(file.get_tensor(f"weight {name}"))

    def restore(self, weights: dict[str, nn.Parameter], optimizer, scaler) -> None:
        """Loads weights, moments and the scaler's state, as `save` named them."""
        self.load_weights(weights)
        with self.opened() as file:
            for key in file.keys():
                moment, name = key.split(" ")
                if moment != "weight":
                    tensor = file.get_tensor(key)
                    moments = optimizer.state[weights[name]]
                    moments[moment] = tensor.to(weights[name].device) if tensor.dim() else tensor
        if scaler and (state := json.loads(self.metadata()["scaler"])):
            scaler.load_state_dict(state)


def read_log(path: str | Path) -> list[Step]:
    """The steps of a `log.jsonl`. Raises FileNotFoundError without one, ValueError if a line is cut off."""
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no log {path}: give fit a folder, and read the log.jsonl in it")
    log = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            log.append(Step(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            raise ValueError(f"{path}, line {number} is cut off or not a step: delete it and what follows") from None
    return log
