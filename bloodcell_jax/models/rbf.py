"""Neurons with radial basis functions: each responds to the distance of its input from its own centre."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike


def activations(x_BD: ArrayLike, centre_MD: ArrayLike, log_width_M: ArrayLike) -> jax.Array:
  """[B, M] in (0, 1]: `exp(-|x - centre|^2 / (2 width^2))`, Gaussians given by the natural logarithms of their widths.

  A width is stored as its logarithm, so that no update makes it negative.

  Source: Broomhead and Lowe 1988, "Multivariable functional interpolation and adaptive networks", section 3.

  Example:
    >>> x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    >>> activations(x, jnp.zeros((1, 2)), jnp.log(jnp.array([5.0]))).round(3).tolist()
    [[1.0], [0.607...]]
  """
  x_BD, centre_MD = jnp.asarray(x_BD), jnp.asarray(centre_MD)
  # The difference itself and not |x|^2 - 2 x c + |c|^2, which loses the small distances.
  square_BM = jnp.square(x_BD[:, None, :] - centre_MD[None, :, :]).sum(-1)
  return jnp.exp(-square_BM * jnp.exp(-2 * jnp.asarray(log_width_M)).reshape(1, -1) / 2)


class RBF(nn.Module):
  """A layer of radial basis functions, with the weights `centre` [M, D] and `log_width` [M], both trained.

  Fresh centres are uniform in the unit cube and fresh widths the root of D, so that the neurons respond before
  k-means moves them to the features (`heads/rbf.py`).
  """

  units: int  # M
  dtype: DTypeLike  # of the output; distances and exponentials take float32 at least
  keras_class = 'RBF'

  @nn.compact
  def __call__(self, x_BD: jax.Array) -> jax.Array:
    num_inputs = x_BD.shape[-1]
    centre_MD = self.param('centre', nn.initializers.uniform(1.0), (self.units, num_inputs))
    width = nn.initializers.constant(jnp.log(num_inputs) / 2)
    x_BD = x_BD.astype(jnp.promote_types(x_BD.dtype, jnp.float32))
    return activations(x_BD, centre_MD, self.param('log_width', width, (self.units,))).astype(self.dtype)
