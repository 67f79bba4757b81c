"""Words in the names of folders, as `names.key` gives them: of splits, and what may stand beside them."""

from __future__ import annotations

# English words, and the split each stands for.
ENGLISH_SPLITS = {
  'train': 'TRAIN',
  'training': 'TRAIN',
  'trn': 'TRAIN',
  'val': 'VALIDATION',
  'valid': 'VALIDATION',
  'validate': 'VALIDATION',
  'validation': 'VALIDATION',
  'dev': 'VALIDATION',
  'development': 'VALIDATION',
  'test': 'TEST',
  'tests': 'TEST',
  'testing': 'TEST',
  'tst': 'TEST',
  'holdout': 'TEST',
  'hold out': 'TEST',
  'test simple': 'TEST_SIMPLE',
  'originals': 'ORIGINALS',
}
# German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian, Chinese, Japanese and Korean words.
_OTHER_SPLITS = {
  'TRAIN': (
    'trainings', 'trainieren', 'lernen', 'lern', 'entraînement', 'entrainement', 'apprentissage', 'entrenamiento',
    'aprendizaje', 'entrenar', 'treino', 'treinamento', 'treinar', 'aprendizado', 'addestramento', 'allenamento',
    'apprendimento', 'trainen', 'oefenen', 'trening', 'treningowy', 'treningowe', 'uczenie', 'uczący', 'uczacy',
    'обучение', 'обучающая', 'обучающие', 'тренировка', 'тренировочная', 'тренировочные', '训练', '訓練', '学習',
    'トレーニング', '훈련', '학습',
  ),
  'VALIDATION': (
    'validierung', 'validierungs', 'validieren', 'validación', 'validacion', 'validação', 'validacao', 'validazione',
    'convalida', 'validatie', 'valideren', 'walidacja', 'walidacyjny', 'walidacyjne', 'валидация', 'валидационная',
    'валидационные', '验证', '驗證', '検証', 'バリデーション', '검증',
  ),
  'TEST': (
    'testen', 'prüfen', 'pruefen', 'prüfung', 'pruefung', 'prüf', 'pruef', 'essai', 'essais', 'prueba', 'pruebas',
    'teste', 'testes', 'prova', 'prove', 'toets', 'toetsen', 'testowy', 'testowe', 'тест', 'тесты', 'тестовая',
    'тестовые', 'тестирование', '测试', '測試', 'テスト', '테스트', '시험',
  ),
}  # fmt: skip
# Split words, and the split each stands for.
SPLITS = {
  **ENGLISH_SPLITS,
  **{word: split for split, words in _OTHER_SPLITS.items() for word in words},
}
# Words that may follow or precede a split word and mean nothing: `Training set`, `test_images`, `Testdaten`.
FILLERS = (
  'set', 'data', 'dataset', 'images', 'imgs', 'split', 'cells', 'samples', 'daten', 'bilder', 'menge', 'données',
  'donnees', 'datos', 'imágenes', 'imagenes', 'dados', 'imagens', 'dati', 'immagini', 'dane', 'conjunto', 'jeu',
  'zbiór', 'zbior', 'de', 'di', 'выборка', 'данные', 'набор', '数据集', '数据', '集', '用', '用データ', 'データ',
  '데이터', '세트',
)  # fmt: skip
