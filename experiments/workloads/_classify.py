"""Objective and accuracy of image classifiers, with augmentation of colour images."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._examples import Batch, Model
from ._images import crop_and_flip


def classification_loss(model: Model, batch: Batch) -> Tensor:
    """Mean cross-entropy; colour images with keys (training) are shifted and mirrored."""
    images, labels, *keys = batch
    if keys and images.shape[1] == 3:
        images = crop_and_flip(images, keys[0], padding=images.shape[2] // 8)
    return cross_entropy(model(images), labels)


def accuracy(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of right labels."""
    return {"accuracy": (model(batch[0]).argmax(dim=1) == batch[1]).to(torch.float32).mean()}
