"""A folder that an operating system named as the copy of a class is refused in any of its languages."""

from __future__ import annotations

import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders, names


@pytest.mark.parametrize(
  'name',
  [
    'A - Copy', 'A copy', 'A copy 2', 'A (copy)', 'A (another copy)', 'A - Kopie', 'A - Kopie (2)', 'A — kopia',
    'A - kopia', 'A - Copie', 'A - Copia', 'A - Cópia', 'A - Co\u0301pia (3)', 'A — копия', 'A — копия (2)',
    'A - 副本', 'A 副本', 'A的副本', 'A - コピー', 'Aのコピー', 'A - 복사본', 'A - Kopi', 'A - Kopya', 'A - Másolat',
    'Cópia de A', 'Копия A', '复件 A', 'Kopia A',
  ],
)  # fmt: skip
def test_a_copy_of_a_class_is_refused_in_any_language(tmp_path, name):
  folder = write(tmp_path, 'A/1.png', 'B/2.png', f'{name}/3.png')
  with pytest.raises(types.UserError, match='is named like a copy of the class A; move it away'):
    folders.read(folder, '', '')


@pytest.mark.parametrize('name', ['A 2', 'A kopf', 'C - 副本', 'copy', 'A 本', 'копия', 'Acopy'])
def test_other_names_are_classes(name):
  assert names.copy_of(name, ('A', 'B')) == ''
