// The page: asks the server for what has changed and gives it to the parts. User text enters by textContent, never as HTML.
import {make, post, read} from './server.js';
import {Upload} from './upload.js';
import {Field} from './field.js';
import {Cells} from './cells.js';
import {Count} from './count.js';
import {Adapt} from './adapt.js';

const KEPT = 'It deletes labels when it ends. "Export labels as CSV" still saves yours from this page: press it first.';
const BUSY = 400, IDLE = 30000;  // milliseconds between two questions

const photographs = new Map();
let version = -1;
let numWaiting = 0;
let timer = 0;
let isEnded = false;
let numLabels = 0;
const problems = [];

const showProblem = text => {
  if (!problems.includes(text)) {
    problems.push(text);
    document.querySelector('#problems ul').append(make('li', text));
  }
  document.getElementById('problems').hidden = false;
};

const showError = error => showProblem(error.isGone && count.kept ? `${error.message} ${KEPT}` : error.message);

const upload = new Upload({onProblem: showProblem, onChange: () => { showProgress(); refresh(); }});
const field = new Field(id => cells.chooseInField(id));
const cells = new Cells({
  onChoose: cell => field.choose(cell, cell && photographs.get(cell.id.split('/')[0])),
  onLabel: async (cell, label) => {
    try {
      take(await post('/labels', {cells: [cell.id], label, since: version}));
      await count.keep(numLabels);
    } catch (error) { showError(error); }
  },
  onHeat: isHeated => field.heat(isHeated),
});
const count = new Count(showError);
const adapt = new Adapt();

const showProgress = () => {
  const done = photographs.size - numWaiting;
  const rest = upload.total - upload.done;
  const all = photographs.size + rest;
  const isBusy = rest > 0 || numWaiting > 0;
  document.getElementById('progress').hidden = !all;
  document.getElementById('bar').hidden = !isBusy;
  document.getElementById('bar').max = all || 1;
  document.getElementById('bar').value = done;
  const passed = upload.passedOver ? `; passed over: ${upload.passedOver} left by other programs` : '';
  document.getElementById('progress-text').textContent =
    (isBusy ? `${done} of ${all} photographs analysed` : `${done} photograph${done === 1 ? '' : 's'} analysed`) + passed;
};

// Takes up an answer of the server; an older one that comes late changes nothing.
const take = state => {
  if (state.version < version) return;
  version = state.version;
  numWaiting = state.num_waiting;
  for (const photograph of state.photographs) photographs.set(photograph.id, photograph);
  state.problems.forEach(showProblem);
  if (photographs.size) {
    document.getElementById('results').hidden = false;
    document.body.classList.add('has-photographs');
    const all = [...photographs.values()];
    field.update(all, state.photographs);
    cells.update(all, state.photographs);
    numLabels = Object.values(state.labels).reduce((sum, num) => sum + num, 0);
    count.update(state.count, numLabels);
    adapt.update(state.labels);
  }
  showProgress();
};

const refresh = async () => {
  clearTimeout(timer);
  if (isEnded) return;
  try {
    const isFirst = version < 0;
    take(await read(`/state?since=${version}`));
    // Labels of before the page was loaded again.
    if (isFirst) await count.keep(numLabels);
  } catch (error) {
    showError(error);
    if (error.isGone) { isEnded = true; return; }
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, upload.isBusy || numWaiting ? BUSY : IDLE);
};

document.getElementById('dismiss').addEventListener('click', async () => {
  problems.length = 0;
  document.querySelector('#problems ul').replaceChildren();
  document.getElementById('problems').hidden = true;
  await post('/problems/hide', {}).catch(error => showProblem(error.message));
});

document.getElementById('delete').addEventListener('click', async () => {
  if (!confirm('Delete all photographs, predictions and labels of this page?')) return;
  try {
    await post('/delete', {});
    isEnded = true;
    location.reload();
  } catch (error) { showProblem(error.message); }
});

refresh();
