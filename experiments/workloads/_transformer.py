"""The pre-norm transformer that the vision and the language workloads share: rotary positions, normalised queries.

Patches of an image are counted row by row.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, rms_norm, scaled_dot_product_attention

from ._keyed import keyed_dropout


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each after a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, layer: int, *, causal: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.layer, self.causal, self.dropout = heads, layer, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, values: Tensor, angles: Tensor, keys: Tensor | None) -> Tensor:
        """Return [n, length, width] from [n, length, width]; ``keys`` switch dropout on."""
        n, length, width = values.shape
        split = self.qkv(self.norm1(values)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = (rotate(rms_norm(part, part.shape[-1:]), angles) for part in (q, k))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        mixed = self.out(mixed.transpose(1, 2).reshape(n, length, width))
        values = values + keyed_dropout(mixed, keys, 2 * self.layer, self.dropout)
        grown = self.down(gelu(self.up(self.norm2(values))))
        return values + keyed_dropout(grown, keys, 2 * self.layer + 1, self.dropout)


class Transformer(nn.Module):
    """Blocks and a final norm; matrices start at N(0, 0.02^2), output layers shrunk with the depth."""

    def __init__(self, width: int, depth: int, heads: int, *, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_angles = width // heads // 2
        self.blocks: nn.ModuleList = nn.ModuleList(
            TransformerBlock(width, heads, layer, causal=causal, dropout=dropout) for layer in range(depth)
        )
        self.norm: nn.LayerNorm = nn.LayerNorm(width)
        for name, parameter in self.blocks.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * depth) ** 0.5 if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, values: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return the features of embedded inputs [n, length, width]."""
        length = values.shape[1]
        powers = torch.arange(self.n_angles, device=values.device, dtype=torch.float32) / self.n_angles
        places = torch.arange(length, device=values.device, dtype=torch.float32)
        angles = places[:, None] * (4.0 * length) ** -powers
        for block in self.blocks:
            values = block(values, angles, keys)
        return self.norm(values)


def rotate(values: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions: turn each pair of features [..., length, 2 * half] by its angle [length, half]."""
    cosine, sine = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    first, second = values.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def embedding(count: int, width: int) -> nn.Embedding:
    """Return an embedding whose rows start with norm 0.6, whatever the width."""
    table = nn.Embedding(count, width)
    nn.init.normal_(table.weight, std=0.6 / width**0.5)
    return table
