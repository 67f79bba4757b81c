"""Rules that combine members' probabilities: one implementation for NumPy, `jax.jit` and exports."""

from __future__ import annotations

import dataclasses
import io
import os
import types as python_types
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

# Lower bound of probabilities before a logarithm, so that a member that is confident and wrong has no unlimited veto.
# In float32 1 - CLIP is still different from 1.
CLIP = 1e-7
# The arrays of each kind and their number of axes. D: M x K logarithms, member by member; H: hidden units; T: rounds
# of trees, one tree per class in each; P: nodes of the largest tree.
ARRAYS: dict[str, dict[str, int]] = {
  'linear': {'weight_M': 1},
  'log_linear': {'weight_M': 1, 'bias_K': 1},
  'vote': {'weight_M': 1},
  'logistic': {'kernel_DK': 2, 'bias_K': 1},
  'gradient_boosting': {
    'bias_K': 1,
    'feature_TKP': 3,  # int32: index of the logarithm that a node compares
    'threshold_TKP': 3,  # float32: values up to it go left
    'left_TKP': 3,  # int32: child node, of a greater number; both children of a leaf are the leaf
    'right_TKP': 3,
    'value_TKP': 3,  # of leaves
  },
  'mlp': {'hidden_DH': 2, 'hidden_H': 1, 'kernel_HK': 2, 'bias_K': 1},
}
KINDS = tuple(ARRAYS)
# What np.load raises for a damaged archive; AttributeError and TypeError for a single array.
DAMAGE = (
  OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError, SyntaxError,
  zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Combination:
  """A rule that combines members; see `apply`."""

  kind: str  # one of KINDS
  arrays: Mapping[str, np.ndarray]  # those of ARRAYS[kind]

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(f'the kind is {self.kind!r}; choose one of {", ".join(KINDS)}')
    wanted = ARRAYS[self.kind]
    if set(self.arrays) != set(wanted):
      raise ValueError(f'{self.kind} has {sorted(self.arrays)}, but needs {sorted(wanted)}')
    for name, num_axes in wanted.items():
      array = self.arrays[name]
      if array.ndim != num_axes or array.dtype.kind not in 'if' or not np.isfinite(array).all():
        raise ValueError(f'{name} must hold finite numbers on {num_axes} axes')
    if self.kind == 'gradient_boosting':
      num_nodes = self.arrays['feature_TKP'].shape[2]
      left_TKP, right_TKP, own_P = self.arrays['left_TKP'], self.arrays['right_TKP'], np.arange(num_nodes)
      is_leaf = (left_TKP == own_P) & (right_TKP == own_P)
      is_inner = (np.minimum(left_TKP, right_TKP) > own_P) & (np.maximum(left_TKP, right_TKP) < num_nodes)
      # Increasing numbers end in a leaf, whatever the file contains.
      if not (is_leaf | is_inner).all() or (self.arrays['feature_TKP'] < 0).any():
        raise ValueError('a tree has a child that does not exist, or a cycle')


def mean(num_members: int) -> Combination:
  """The mean of the members' probabilities."""
  return weighted(np.full(num_members, 1 / num_members))


def weighted(weight_M: np.ndarray) -> Combination:
  """The sum of weight x probabilities; the weights are >= 0 and are divided by their sum."""
  return Combination('linear', {'weight_M': _shares(weight_M)})


def geometric(num_members: int, num_classes: int) -> Combination:
  """The mean of the members' logits, which is the geometric mean of their probabilities, normalised.

  Example:
    >>> probs_MNK = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> apply(geometric(2, 2), probs_MNK, np).round(3)
    array([[0.75, 0.25]])
  """
  return log_linear(np.full(num_members, 1 / num_members), np.zeros(num_classes))


def log_linear(weight_M: np.ndarray, bias_K: np.ndarray) -> Combination:
  """`softmax(bias + sum of weight x log p)`; the weights are not normalised."""
  arrays = {'weight_M': np.asarray(weight_M, np.float64), 'bias_K': np.asarray(bias_K, np.float64)}
  return Combination('log_linear', arrays)


def vote(weight_M: np.ndarray) -> Combination:
  """Each class's share of the members' votes; the weights are >= 0 and are divided by their sum.

  A member votes for its most probable class; tied classes share its vote equally.
  """
  return Combination('vote', {'weight_M': _shares(weight_M)})


def log_probs(probs: Any, xp: Any) -> Any:
  """Logarithms of probabilities clipped at CLIP: the logits up to a constant in each row."""
  return xp.log(xp.maximum(probs, CLIP))


def softmax(logit_NK: Any, xp: Any) -> Any:
  """Rows that sum to 1, in the xp of the logits."""
  exp_NK = xp.exp(logit_NK - logit_NK.max(-1, keepdims=True))
  return exp_NK / exp_NK.sum(-1, keepdims=True)


def meta_features(probs_MNK: Any, xp: Any) -> Any:
  """[N, D] features of a stacked meta-learner: log probabilities of all members, member by member."""
  num_members, num_rows, num_classes = probs_MNK.shape
  return log_probs(probs_MNK, xp).transpose(1, 0, 2).reshape(num_rows, num_members * num_classes)


def apply(combination: Combination, probs_MNK: Any, xp: python_types.ModuleType) -> Any:
  """[N, K] combined probabilities.

  **Guarantees**: rows sum to 1; `xp = jax.numpy` gives the results of `xp = numpy` up to rounding, also under
  `jax.jit`, where the combination is a constant: no control flow depends on the probabilities. Exception: trees
  compare logarithms with thresholds, so NumPy and JAX can differ for a logarithm equal to a threshold.

  Args:
    combination: the rule.
    probs_MNK: floats; rows sum to 1.
    xp: `numpy` or `jax.numpy`, matching the probabilities.

  Raises:
    ValueError: the combination is for another number of members or classes.
  """
  num_members, _, num_classes = probs_MNK.shape
  _check_sizes(combination, num_members, num_classes)
  arrays, dtype = combination.arrays, probs_MNK.dtype

  def constant(name: str, kind: Any = dtype) -> Any:
    return xp.asarray(arrays[name], kind)

  if combination.kind == 'linear':
    return (constant('weight_M')[:, None, None] * probs_MNK).sum(0)
  if combination.kind == 'vote':
    chosen_MNK = (probs_MNK == probs_MNK.max(-1, keepdims=True)).astype(dtype)
    share_MNK = chosen_MNK / chosen_MNK.sum(-1, keepdims=True)
    return (constant('weight_M')[:, None, None] * share_MNK).sum(0)
  if combination.kind == 'log_linear':
    logit_NK = (constant('weight_M')[:, None, None] * log_probs(probs_MNK, xp)).sum(0)
    return softmax(logit_NK + constant('bias_K')[None], xp)
  feature_ND = meta_features(probs_MNK, xp)
  if combination.kind == 'logistic':
    return softmax(feature_ND @ constant('kernel_DK') + constant('bias_K')[None], xp)
  if combination.kind == 'mlp':
    hidden_NH = xp.maximum(feature_ND @ constant('hidden_DH') + constant('hidden_H')[None], 0)
    return softmax(hidden_NH @ constant('kernel_HK') + constant('bias_K')[None], xp)
  # Trees split on float32, as in scikit-learn.
  num_rounds = arrays['feature_TKP'].shape[0]
  leaf_NTK = _leaves(arrays, feature_ND.astype(np.float32), dtype, xp).reshape(-1, num_rounds, num_classes)
  return softmax(leaf_NTK.sum(1) + constant('bias_K')[None], xp)


def write(path: str | os.PathLike[str], combination: Combination) -> None:
  """Writes the combination as .npz; deterministic."""
  buffer = io.BytesIO()
  np.savez(buffer, kind=np.array(combination.kind), **dict(combination.arrays))  # type: ignore[arg-type]
  atomic.write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str]) -> Combination:
  """Reads a combination; runs no code from the file.

  Raises:
    UserError: the file is missing, damaged or of another kind.
  """
  try:
    # Opened here, because np.load does not close a file that is not an archive.
    with open(path, 'rb') as file, np.load(file, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
      kind = arrays.pop('kind')
      return Combination(str(kind), arrays)
  except FileNotFoundError:
    raise types.UserError(f'{path}: no such file; repeat the command that combined the members') from None
  except DAMAGE as error:
    raise types.UserError(
      f'{path}: damaged, or not a combination of members ({atomic.damage(error)}); repeat the command that combined '
      'the members'
    ) from None


def _shares(weight_M: np.ndarray) -> np.ndarray:
  weight_M = np.asarray(weight_M, np.float64)
  if not ((weight_M >= 0).all() and 0 < weight_M.sum() < np.inf):
    raise ValueError('weights must be >= 0, and one of them above 0')
  return weight_M / weight_M.sum()


def _check_sizes(combination: Combination, num_members: int, num_classes: int) -> None:
  arrays = combination.arrays
  first = {'logistic': 'kernel_DK', 'mlp': 'hidden_DH'}
  if 'weight_M' in arrays and len(arrays['weight_M']) != num_members:
    raise ValueError(f'{num_members} members, but {len(arrays["weight_M"])} weights')
  if combination.kind in first and len(arrays[first[combination.kind]]) != num_members * num_classes:
    raise ValueError(f'{combination.kind} was fitted on another number of members than {num_members}')
  if combination.kind == 'gradient_boosting' and arrays['feature_TKP'].max() >= num_members * num_classes:
    raise ValueError(f'gradient_boosting was fitted on more members than {num_members}')
  if 'bias_K' in arrays and len(arrays['bias_K']) != num_classes:
    raise ValueError(f'{num_classes} classes, but the combination has {len(arrays["bias_K"])}')


def _leaves(arrays: Mapping[str, np.ndarray], feature_ND: Any, dtype: Any, xp: Any) -> Any:
  """[N, T x K] the value of the leaf of each tree that each row reaches.

  Computed by matrix products: every node is evaluated, and a row is in the leaf whose path matches all results. This
  avoids gathers by row, which converters to other formats do not support for a variable number of rows.
  """
  num_rounds, num_classes, num_nodes = arrays['feature_TKP'].shape
  num_trees = num_rounds * num_classes
  path_UPL, rights_UL, steps_UL, value_UL = _paths(arrays)
  input_NUP = xp.take(feature_ND, arrays['feature_TKP'].ravel(), axis=1).reshape(-1, num_trees, num_nodes)
  threshold_UP = xp.asarray(arrays['threshold_TKP'].reshape(num_trees, num_nodes), np.float32)
  goes_left_UNP = (input_NUP <= threshold_UP[None]).astype(np.float32).transpose(1, 0, 2)
  # The number of steps of the path that match; small integers, exact in float32.
  matching_UNL = goes_left_UNP @ xp.asarray(path_UPL) + xp.asarray(rights_UL)[:, None]
  is_leaf_UNL = (matching_UNL == xp.asarray(steps_UL)[:, None]).astype(dtype)
  return (is_leaf_UNL * xp.asarray(value_UL, dtype)[:, None]).sum(-1).T


def _paths(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """For each leaf of U trees: path [U, P, L], 1 for a step left and -1 right; numbers of right steps, of steps; value.

  Smaller trees are padded with leaves that no row reaches.
  """
  num_nodes = arrays['feature_TKP'].shape[2]
  left_UP, right_UP, value_UP = (
    arrays[f'{name}_TKP'].reshape(-1, num_nodes) for name in ('left', 'right', 'value')
  )
  num_trees, num_leaves = len(left_UP), (num_nodes + 1) // 2
  path_UPL = np.zeros((num_trees, num_nodes, num_leaves), np.float32)
  rights_UL = np.zeros((num_trees, num_leaves), np.float32)
  steps_UL = np.full((num_trees, num_leaves), -1.0, np.float32)
  value_UL = np.zeros((num_trees, num_leaves))
  for u in range(num_trees):
    leaf = 0
    waiting: list[tuple[int, tuple[tuple[int, int], ...]]] = [(0, ())]  # nodes with the path to them
    while waiting:
      node, steps = waiting.pop()
      if left_UP[u, node] == node:
        for above, sign in steps:
          path_UPL[u, above, leaf] = sign
        rights_UL[u, leaf] = sum(sign < 0 for _, sign in steps)
        steps_UL[u, leaf] = len(steps)
        value_UL[u, leaf] = value_UP[u, node]
        leaf += 1
      else:
        waiting.append((int(left_UP[u, node]), (*steps, (node, 1))))
        waiting.append((int(right_UP[u, node]), (*steps, (node, -1))))
  return path_UPL, rights_UL, steps_UL, value_UL
