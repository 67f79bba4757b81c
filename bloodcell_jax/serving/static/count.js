// The differential count and the buttons that export.
import {about, fetchFile, make, save} from './server.js';

const LABELS = 'labels.csv';
// The names under which files are saved; labels have that of the review page.
const NAMES = {[LABELS]: 'corrections.csv'};

export class Count {
  constructor(onProblem) {
    document.getElementById('interval').textContent = `${100 * about.confidence} % interval`;
    document.querySelectorAll('[data-export]').forEach(button => button.addEventListener('click', () => {
      this.export(button.dataset.export).catch(onProblem);
    }));
    // The list of labels as the program gave it last: when it ends, it deletes the labels.
    this.kept = null;
    this.turn = 0;
  }

  async export(name) {
    let file;
    try {
      file = await fetchFile(`/export/${name}`);
    } catch (error) {
      if (!(error.isGone && name === LABELS && this.kept)) throw error;
      file = this.kept;
    }
    save(file, NAMES[name] || name);
  }

  // To be called whenever labels have changed.
  async keep(numLabels) {
    const turn = ++this.turn;
    const file = numLabels ? await fetchFile(`/export/${LABELS}`) : null;
    if (turn === this.turn) this.kept = file;
  }

  update(count, numLabels) {
    document.querySelectorAll('[data-export]').forEach(button => {
      button.disabled = !count || (button.dataset.export.startsWith('label') && !numLabels);
    });
    document.getElementById('count-notes').replaceChildren(
      ...(count ? count.warnings : []).map(line => make('p', line, 'small')));
    const percent = value => `${(100 * value).toFixed(1)} %`;
    const rows = Object.entries(count ? count.classes : {}).map(([name, entry]) => [
      name, entry.count, entry.share === null ? '' : percent(entry.share),
      entry.low === null || entry.share === null ? '' : `${percent(entry.low)} to ${percent(entry.high)}`,
    ]);
    if (count) rows.push([`${about.unclassified}, in doubt`, count.num_unclassified, '', '']);
    if (count && count.num_unlike) rows.push([about.unlike, count.num_unlike, '', '']);
    if (count) rows.push(['all cells', count.num_cells, '', '']);
    document.getElementById('count-rows').replaceChildren(...rows.map(([name, ...cells]) => {
      const row = make('tr');
      const head = make('th', name);
      head.scope = 'row';
      row.append(head, ...cells.map(text => make('td', String(text))));
      return row;
    }));
  }
}
