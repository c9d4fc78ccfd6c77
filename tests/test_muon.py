"""Muon as in torch, which computes in bfloat16."""

import pytest
import torch

from lib.workshop.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_orthogonalized_keeps_the_directions_and_makes_their_sizes_equal(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    assert sizes.max() / sizes.min() > 1.9
    new = left.T @ orthogonalized(matrix) @ right.T
    assert (new - new.diagonal().diag()).abs().max() < 1e-4
    assert new.diagonal().min() > 0.6 and new.diagonal().max() < 1.3


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_equal_to_torchs_but_for_bfloat16(shape):
    generator = torch.Generator().manual_seed(1)
    start, gradients = torch.randn(shape, generator=generator), torch.randn(4, *shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizers = (
        Muon([ours], lr=0.01, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for gradient in gradients:
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).abs().mean()
    assert (ours - theirs).abs().mean() < 0.01 * moved


def test_a_matrix_of_zeros_stays_one():
    assert (orthogonalized(torch.zeros(3, 2)) == 0).all()


def test_matrices_together_move_as_each_alone():
    generator = torch.Generator().manual_seed(2)
    starts = [torch.randn(shape, generator=generator) for shape in ((16, 16), (48, 16), (16, 16), (16, 48), (48, 16))]
    together, alone = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    optimizers = [Muon(together, lr=0.1), *(Muon([weight], lr=0.1) for weight in alone)]
    for _ in range(2):
        for first, second in zip(together, alone, strict=True):
            first.grad = torch.randn(first.shape, generator=generator)
            second.grad = first.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for start, first, second in zip(starts, together, alone, strict=True):
        assert (first - start).abs().mean() > 1e-3
        torch.testing.assert_close(first, second)
