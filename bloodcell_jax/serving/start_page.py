"""The HTML of the page; what it shows comes later, by `static/serve.js`."""

from __future__ import annotations

import importlib.resources

from bloodcell_jax.data.images import image_files
from bloodcell_jax.inference import differential_count, megapixels, review_page
from bloodcell_jax.reports import page, report
from bloodcell_jax.serving import analysis as analysis_lib
from bloodcell_jax.serving import limits as limits_lib

TITLE = 'White cells in your photographs'
# Files of the page, by the name under which it asks for them: the package's room, and the type.
RESOURCES = {
  'review.css': ('bloodcell_jax.inference', 'text/css'),
  'pressed_sign.js': ('bloodcell_jax.inference', 'text/javascript'),
  'serve.css': ('bloodcell_jax.serving', 'text/css'),
  **{
    f'{name}.js': ('bloodcell_jax.serving', 'text/javascript')
    for name in ('serve', 'server', 'upload', 'field', 'cells', 'count', 'adapt')
  },
}


def read_resource(name: str) -> tuple[str, str]:
  """Text and type of one of RESOURCES."""
  room, kind = RESOURCES[name]
  return importlib.resources.files(room).joinpath('static', name).read_text('utf-8'), kind


def render(analysis: analysis_lib.Analysis, limits: limits_lib.Limits, token: str) -> str:
  """The page of a session.

  Args:
    analysis: the classifier.
    limits: shown, and checked in the browser before a file is sent.
    token: which the page sends with every change.
  """
  names = analysis.class_names
  about = {
    'token': token,
    'classes': list(names),
    'keys': review_page.keys(names),
    'unclassified': differential_count.UNCLASSIFIED,
    'unlike': differential_count.UNLIKE,
    'confidence': analysis.confidence,
  }
  megabytes = f'{limits.file_bytes / 10**6:,.0f} MB'
  size = f'{limits.pixels / megapixels.MEGAPIXEL:,.0f} megapixels'
  most = f'At most {limits.num_files:,} files, {megabytes} and {size} each.'
  privacy = (
    'Photographs stay on this computer. They are deleted by the button below, when the program ends, or after '
    f'{limits.minutes:g} minutes without use.'
  )
  parts = [
    '<link rel="stylesheet" href="/static/review.css"><link rel="stylesheet" href="/static/serve.css">',
    f'<h1>{TITLE}</h1>',
    f'<p class="small file">Model: {page.text(analysis.name)}, for {page.text(", ".join(names))}. '
    f'{page.text(report.RESEARCH_ONLY)}</p>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in analysis.notes),
    _DROP.format(
      most=page.text(most),
      privacy=page.text(privacy),
      accept=','.join(image_files.EXTENSIONS),
    ),
    _RESULTS,
    _palette(analysis),
    _ADAPT,
    page.data('about', about),
    '<script src="/static/pressed_sign.js"></script><script type="module" src="/static/serve.js"></script>',
  ]
  return page.whole(TITLE, parts)


_DROP = """
<div id="drop"><p><strong>Drop photographs or a folder here</strong><br>
<span class="small">The white cells are found, named and counted; you check and correct them.</span></p>
<p class="buttons"><button type="button" id="choose-files">Choose photographs</button>
<button type="button" id="choose-folder">Choose a folder</button></p>
<input type="file" id="files" multiple accept="{accept}" hidden aria-label="Photographs">
<input type="file" id="folder" webkitdirectory hidden aria-label="A folder">
<p class="small">{most} {privacy}</p></div>
<div id="progress" hidden><progress id="bar" max="1" value="0" aria-label="Progress"></progress>
<span id="progress-text" role="status"></span></div>
<div id="problems" class="note" role="alert" hidden><ul></ul>
<button type="button" id="dismiss">Hide these lines</button></div>
"""
_RESULTS = """
<div id="results" hidden>
<div class="columns">
<section id="field" aria-label="Photograph">
<div class="controls-row"><button type="button" id="previous" aria-label="Previous photograph">&larr;</button>
<span id="field-name"></span>
<button type="button" id="next" aria-label="Next photograph">&rarr;</button></div>
<div id="frame"></div>
<ul class="legend small"><li><span class="key sure-key"></span>named</li>
<li><span class="key doubt-key"></span>in doubt: look at it</li>
<li><span class="key unlike-key"></span>unlike the training images: not named</li>
<li><span class="key yours-key"></span>labelled by you</li>
<li>cut by the edge or smudged: not counted</li>
<li>counted in another photograph: shown there too, counted once</li></ul>
<ul id="strip" aria-label="Photographs"></ul>
</section>
<section id="count" aria-labelledby="count-title">
<h2 id="count-title">Differential count</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Cells by class"><table>
<caption>Cells by class, your labels in place of the model's</caption>
<thead><tr><th scope="col">class</th><th scope="col">cells</th><th scope="col">share</th>
<th scope="col" id="interval">interval</th></tr></thead><tbody id="count-rows"></tbody></table></div>
<div id="count-notes"></div>
<p class="small">The intervals describe the sampling of cells. They do not allow for the model's errors.</p>
<p class="buttons exports"><button type="button" data-export="labels.csv">Export labels as CSV</button>
<button type="button" data-export="labelled-cells.zip">Export labelled cells as images</button>
<button type="button" data-export="predictions.csv">Export predictions</button>
<button type="button" data-export="differential.csv">Export count</button>
<button type="button" id="delete">Delete everything</button></p>
</section></div>
<h2 id="cells-title">Cells</h2>
<p class="small">Choose a cell by clicking it or with the arrow keys, then its class: click it in the bar below, or
press its key. <kbd>Enter</kbd> agrees with the likeliest class, <kbd>Backspace</kbd> takes your label back,
<kbd>h</kbd> shows or hides heat maps: green is where the model looked.</p>
<div class="controls"><label>Show <select id="filter"></select></label>
<label>Order <select id="order"><option value="doubt">least certain first</option>
<option value="photograph">by photograph</option></select></label>
<button type="button" id="heat" aria-pressed="false">Heat maps <kbd>h</kbd></button>
<span id="status" role="status"></span></div>
<ul id="grid"></ul></div>
"""
_ADAPT = (
  '<section id="adapt" hidden aria-labelledby="adapt-title"><h2 id="adapt-title">Adapt to my laboratory</h2>'
  '<p class="small">Trains a new run on the cells that you have labelled, starting from this model. Label cells '
  'that are certain too, not only those in doubt. The labelled cells are kept in a folder beside the '
  'new run.</p><p id="adapt-labels"></p><p class="buttons"><label>Name of the new run '
  '<input id="adapt-name" value="my-laboratory" maxlength="40" spellcheck="false" autocomplete="off"></label>'
  '<button type="button" id="adapt-start">Adapt to my laboratory</button>'
  '<button type="button" id="adapt-stop" hidden>Stop</button></p>'
  '<p id="adapt-state" role="status"></p><pre id="adapt-lines" hidden tabindex="0"></pre></section>'
)


def _palette(analysis: analysis_lib.Analysis) -> str:
  """The bar with the chosen cell, its heat map and a button for each class."""
  names = analysis.class_names
  return (
    '<div id="palette" role="group" aria-label="Class of the chosen cell" hidden>'
    '<div id="chosen-pictures"></div><div><p id="chosen"></p>'
    f'{review_page.label_buttons(names, review_page.keys(names))}</div></div>'
  )
