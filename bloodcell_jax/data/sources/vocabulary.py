"""Words in the names of folders, as `names.key` gives them: of splits, cells, patients, days and places."""

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
# Parts of the names of blood cells, which tell class folders from folders of patients or days.
CELLS = (
  'neutro', 'neutró', 'eosin', 'eozin', 'eozyn', 'baso', 'basó', 'bazo', 'lympho', 'lymfo', 'limfo', 'linfo', 'mono',
  'granulo', 'blast', 'myelo', 'mielo', 'erythro', 'erytro', 'eritro', 'platelet', 'plaquet', 'thrombo', 'trombo',
  'smudge', 'reticulo', 'retikulo', 'plasma', 'band', 'segment', 'нейтро', 'эозин', 'базоф', 'лимфо', 'моноц', 'бласт',
  'тромбо', 'эритро', '中性', '嗜酸', '嗜碱', '嗜鹼', '淋巴', '单核', '單核', '血小板', '好中球', '好酸球', '好塩基球',
  '単球', 'リンパ', '호중', '호산', '호염기', '단핵', '림프',
)  # fmt: skip
# Abbreviations that are a whole name.
SHORT_CELLS = (
  'neu', 'neut', 'ne', 'ngs', 'ngb', 'sne', 'bne', 'seg', 'segs', 'eos', 'eo', 'bas', 'ba', 'lym', 'lymph', 'ly', 'lyt',
  'lya', 'mon', 'mo', 'ig', 'ebo', 'ksc', 'mmz', 'mob', 'myb', 'myo', 'pmb', 'pmo', 'wbc', 'rbc', 'plt', 'nrbc', 'ery',
)  # fmt: skip
# Words for what images are parted by beside their classes: persons, glass, time, place.
PARTS = (
  'patient', 'patients', 'pat', 'pt', 'person', 'donor', 'subject', 'case', 'slide', 'smear', 'sample', 'specimen',
  'day', 'week', 'month', 'year', 'date', 'session', 'batch', 'run', 'visit', 'site', 'centre', 'center', 'hospital',
  'clinic', 'lab', 'laboratory', 'scanner', 'microscope', 'camera', 'plate', 'field', 'fov', 'roi', 'region', 'tile',
  'patientin', 'paciente', 'paziente', 'pacjent', 'patiënt', 'пациент', '患者', '病人', '환자', 'tag', 'woche', 'jour',
  'semaine', 'día', 'dia', 'giorno', 'dag', 'dzień', 'dzien', 'день', 'lame', 'lámina', 'objektträger', 'labor',
  'klinik',
  'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday', 'mon', 'tue', 'tues', 'wed', 'thu',
  'thur', 'thurs', 'fri', 'sat', 'sun', 'montag', 'dienstag', 'mittwoch', 'donnerstag', 'freitag', 'samstag', 'sonntag',
  'lundi', 'mardi', 'mercredi', 'jeudi', 'vendredi', 'samedi', 'dimanche', 'lunes', 'martes', 'miércoles', 'jueves',
  'viernes', 'sábado', 'domingo', 'january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september',
  'october', 'november', 'december', 'jan', 'feb', 'mar', 'apr', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec',
  'morning', 'afternoon', 'evening',
)  # fmt: skip
# Names of folders that say nothing of what they hold.
EMPTY = (
  'images', 'image', 'img', 'imgs', 'png', 'jpg', 'jpeg', 'tif', 'tiff', 'bmp', 'raw', 'crops', 'crop', 'cells', 'new',
  'old', 'rejected', 'originals', 'augmented', 'bilder', 'fotos', 'photos',
)  # fmt: skip
# Words before the number of a class, `type 1`, which is no patient.
NUMBERED_CLASSES = (
  'class',
  'klasse',
  'classe',
  'clase',
  'type',
  'typ',
  'tipo',
  'grade',
  'stage',
  'stadium',
  'label',
)
