"""Muon: an optimizer for the matrices of hidden layers (Jordan et al., 2024; Liu et al., arXiv 2502.16982).

AdamW scales every number of a gradient by itself. Muon takes the matrix as a whole: it keeps the directions of the
gradient and gives all of them the same size. So rare data move the weights as much as common data. torch has it too
(`torch.optim.Muon`), but computes in bfloat16, which many processors only emulate.
"""

import torch
from torch import Tensor

NEWTON_SCHULZ_STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)  # of the iteration, as in torch.optim.Muon


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix (..., rows, columns) with the same singular vectors, whose singular values are near 1 (0.7 to 1.2).

    By Newton-Schulz: an odd polynomial of the matrix applies to its singular values, so no decomposition is needed.
    This one raises small values fast and does not converge to 1.

    >>> orthogonalized(torch.diag(torch.tensor([3.0, 1.0]))).diagonal().round(decimals=1).tolist()
    [0.800000011920929, 1.100000023841858]
    """
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonalized(matrix.mT).mT  # the smaller of the two products of the matrix with itself
    a, b, c = COEFFICIENTS
    matrix = matrix / matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = matrix @ matrix.mT
        matrix = a * matrix + (b * square + c * square @ square) @ matrix
    return matrix


class Muon(torch.optim.Optimizer):
    """For matrices (2 dimensions) only; embeddings, norms and biases are AdamW's.

    The step is scaled as in 2502.16982, torch's "match_rms_adamw": its numbers have about the size of AdamW's.
    """

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0.01, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for shape in dict.fromkeys(weight.shape for weight in group["params"]):
                alike = [weight for weight in group["params"] if weight.shape == shape]
                self.step_of(alike, group["lr"], group["weight_decay"], group["momentum"])

    def step_of(self, weights: list[Tensor], lr: float, weight_decay: float, momentum: float) -> None:
        """For weights of one shape: orthogonalized together, which takes two thirds of the time."""
        ahead = []
        for weight in weights:
            mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
            mean.lerp_(weight.grad, 1 - momentum)
            ahead.append(weight.grad.lerp(mean, momentum))  # Nesterov: one step ahead
        for weight, update in zip(weights, orthogonalized(torch.stack(ahead)), strict=True):
            weight.mul_(1 - lr * weight_decay)
            weight.add_(update, alpha=-0.2 * lr * max(weight.shape) ** 0.5)
