"""Diversity of members: measures of how far their errors differ."""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Diversity:
  """Symmetric measures of pairs of members, and one of all members. Source: Kuncheva and Whitaker 2003."""

  disagreement_MM: np.ndarray  # share of rows that exactly one of the two gets right; 0 on the diagonal
  q_MM: np.ndarray  # Yule's Q, -1 to 1; 0 for independent errors. NaN where undefined: see `measure`
  kappa_MM: np.ndarray  # Cohen's kappa of the predicted classes. NaN where undefined
  double_fault_MM: np.ndarray  # share of rows that both get wrong; on the diagonal the member's own error
  # 0: all members are right on the same rows; 1: on every row half of them are wrong. NaN for one member
  entropy: float

  def means(self) -> dict[str, float]:
    """The mean of each measure over the pairs for which it is defined, NaN if there are none; and the entropy."""
    names = ('disagreement', 'q', 'kappa', 'double_fault')
    return {name: _mean(getattr(self, f'{name}_MM')) for name in names} | {'entropy': self.entropy}


def measure(probs_MNK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray) -> Diversity:
  """Diversity of the members' predicted classes.

  Yule's Q is undefined, NaN, if both of its products are 0, for example if one of the members is always right or
  always wrong. Kappa is undefined if both members always predict the same class, because agreement by chance is then
  1.

  Args:
    probs_MNK: of one or more members.
    label_N: class of each row.
    weight_N: >= 0, not all 0: ones to count images, or 1 / number of rows in the group to count groups.

  Source: Kuncheva and Whitaker 2003, "Measures of diversity in classifier ensembles", section 3 (Q, disagreement,
    double fault, entropy); Cohen 1960 (kappa).

  Example:
    >>> label, ones = np.array([0, 0, 1, 1]), np.ones(4)
    >>> probs = np.eye(2)[[[0, 0, 1, 0], [0, 1, 1, 1]]]
    >>> float(measure(probs, label, ones).disagreement_MM[0, 1])
    0.5
  """
  num_members, _, num_classes = probs_MNK.shape
  share_N = weight_N / weight_N.sum()
  predicted_MN = probs_MNK.argmax(2)
  right_MN = (predicted_MN == label_N[None]).astype(np.float64)
  both_MM = (right_MN * share_N[None]) @ right_MN.T
  neither_MM = ((1 - right_MN) * share_N[None]) @ (1 - right_MN).T
  first_MM = (right_MN * share_N[None]) @ (1 - right_MN).T
  alike_MM, unlike_MM = both_MM * neither_MM, first_MM * first_MM.T
  one_hot_MNK = np.eye(num_classes)[predicted_MN]
  agree_MM = np.einsum('ank,bnk,n->ab', one_hot_MNK, one_hot_MNK, share_N, optimize=True)
  predicted_MK = np.einsum('ank,n->ak', one_hot_MNK, share_N)
  chance_MM = predicted_MK @ predicted_MK.T
  # Shares are sums of weights: an exact 0 can come out as a rounding error.
  with np.errstate(invalid='ignore', divide='ignore'):
    q_MM = np.where(alike_MM + unlike_MM > 1e-15, (alike_MM - unlike_MM) / (alike_MM + unlike_MM), np.nan)
    kappa_MM = np.where(chance_MM < 1 - 1e-12, (agree_MM - chance_MM) / (1 - chance_MM), np.nan)
  entropy = math.nan
  if num_members > 1:
    num_right_N = right_MN.sum(0)
    fewer_N = np.minimum(num_right_N, num_members - num_right_N)
    entropy = float((share_N * fewer_N).sum() / (num_members - math.ceil(num_members / 2)))
  return Diversity(first_MM + first_MM.T, q_MM, kappa_MM, neither_MM, entropy)


def _mean(value_MM: np.ndarray) -> float:
  pairs = value_MM[np.triu_indices(len(value_MM), 1)]
  known = pairs[~np.isnan(pairs)]
  return float(known.mean()) if len(known) else math.nan
