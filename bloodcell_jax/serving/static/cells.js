// All cells as a grid, filtered and ordered, and the bar that labels the chosen one by mouse, touch or key.
import {about, make} from './server.js';
import {caption, mark} from './field.js';

const HEAT_KEY = 'h';
// Milliseconds on a cell before its heat map is computed, so that nobody waits for those that are passed over.
const DWELL = 300;

export class Cells {
  // `onChoose` takes a cell (or undefined), `onLabel` a cell and a class or null, `onHeat` whether heat maps are shown.
  constructor({onChoose, onLabel, onHeat}) {
    Object.assign(this, {onChoose, onLabel, onHeat});
    this.cards = new Map();
    this.cells = new Map();
    this.chosen = '';
    this.isHeated = false;
    // Where the last cell was chosen: the next one follows in the order of that place.
    this.order = 'grid';
    this.grid = document.getElementById('grid');
    this.palette = document.getElementById('palette');
    this.filter = document.getElementById('filter');
    this.ordering = document.getElementById('order');
    this.heatButton = document.getElementById('heat');
    const names = [...about.classes, about.unclassified, about.unlike];
    for (const [value, text] of [['*', 'all'], ...names.map(name => [name, name]), ['+', 'labelled by you']]) {
      this.filter.append(new Option(text, value));
    }
    this.filter.addEventListener('change', () => this.arrange());
    this.ordering.addEventListener('change', () => this.arrange());
    this.heatButton.addEventListener('click', () => this.toggleHeat());
    this.grid.addEventListener('click', event => {
      const card = event.target.closest('.item');
      if (card) this.focus(card.dataset.cell);
    });
    this.palette.addEventListener('click', event => {
      const button = event.target.closest('button');
      if (!button) return;
      if (button.dataset.class) this.labelNext(about.classes[Number(button.dataset.class)]);
      else if (button.id === 'agree') this.agree();
      else this.takeBack();
    });
    document.addEventListener('keydown', event => this.press(event));
    addEventListener('resize', () => this.measure());
  }

  update(photographs, changed) {
    const before = this.cells.size;
    for (const photograph of changed) {
      for (const cell of photograph.cells) {
        this.cells.set(cell.id, {...cell, file: photograph.file, isOne: photograph.cells.length === 1});
        this.draw(cell.id);
      }
    }
    this.inOrder = photographs.flatMap(photograph => photograph.cells.map(cell => cell.id));
    if (before !== this.cells.size) this.arrange();
    else this.count();
    if (!this.cells.has(this.chosen) && this.cells.size) {
      // After a reload no key may write over a label.
      const ids = this.visible();
      this.choose(ids.find(id => !this.cells.get(id).label) || ids[0] || '');
    }
    this.drawChosen();
  }

  title(cell) { return cell.isOne ? cell.file : `${cell.file}, cell ${cell.number}`; }

  draw(id) {
    const cell = this.cells.get(id);
    let card = this.cards.get(id);
    if (!card) {
      card = make('li', undefined, 'item');
      card.tabIndex = -1;
      card.dataset.cell = id;
      card.append(this.picture(cell), make('strong'), make('div', '', 'small more'), make('div', this.title(cell), 'small file'),
        make('div', '', 'human'));
      this.cards.set(id, card);
    }
    const kind = mark({...cell, label: null});
    card.classList.toggle('corrected', Boolean(cell.label));
    card.dataset.mark = kind;
    card.querySelector('strong').textContent = caption({...cell, label: null});
    const more = kind === 'unlike' ? `likeliest ${cell.likeliest}` : cell.set.length > 1 ? `possible: ${cell.set.join(', ')}` : '';
    card.querySelector('.more').textContent = more;
    card.querySelector('.human').textContent = cell.label ? `you: ${cell.label}` : '';
    card.setAttribute('aria-label', `${this.title(cell)}, ${caption(cell)}${cell.label ? ', labelled by you' : ''}`);
  }

  // The cell as the network sees it, under its heat map where `withHeat` or the button say so.
  picture(cell, withHeat = false) {
    const frame = make('div', undefined, 'frame');
    const image = make('img');
    image.alt = this.title(cell);
    image.loading = 'lazy';
    image.decoding = 'async';
    image.src = `/cells/${cell.id}.jpg`;
    frame.append(image);
    if (withHeat) frame.append(this.heatOf(cell.id));
    return frame;
  }

  heatOf(id) {
    const heat = make('img', undefined, 'heat');
    heat.alt = '';
    heat.loading = 'lazy';
    heat.src = `/cells/${id}-heat.png`;
    // A network without convolutions has none.
    heat.addEventListener('error', () => heat.remove());
    return heat;
  }

  matches(cell) {
    if (this.filter.value === '*') return true;
    if (this.filter.value === '+') return Boolean(cell.label);
    return cell.predicted === this.filter.value;
  }

  arrange() {
    let ids = [...this.inOrder];
    if (this.ordering.value === 'doubt') {
      const confidence = id => this.cells.get(id).confidence;
      ids = ids.sort((a, b) => confidence(a) - confidence(b));
    }
    const active = document.activeElement;
    // Cards that are hidden inside the grid cost Chromium a second of layout with 2,000 of them.
    this.grid.replaceChildren(...ids.filter(id => this.matches(this.cells.get(id))).map(id => this.cards.get(id)));
    if (active && active !== document.activeElement && this.grid.contains(active)) active.focus({preventScroll: true});
    const chosen = this.cards.get(this.chosen);
    if (chosen && !this.grid.contains(chosen)) this.choose(this.visible()[0] || '');
    this.count();
  }

  visible() { return [...this.grid.children].map(card => card.dataset.cell); }

  count() {
    const labelled = [...this.cells.values()].filter(cell => cell.label).length;
    document.getElementById('status').textContent =
      `${this.visible().length} of ${this.cells.size} cells shown, ${labelled} labelled by you`;
  }

  choose(id) {
    const before = this.cards.get(this.chosen);
    if (before) { before.classList.remove('chosen'); before.tabIndex = -1; }
    this.chosen = id;
    const card = this.cards.get(id);
    if (card) { card.classList.add('chosen'); card.tabIndex = 0; }
    this.drawChosen();
    this.onChoose(this.cells.get(id));
  }

  drawChosen() {
    const cell = this.cells.get(this.chosen);
    this.palette.hidden = !cell;
    document.getElementById('chosen').textContent = cell
      ? `${this.title(cell)}: ${caption({...cell, label: null})}${cell.label ? `; you: ${cell.label}` : ''}` : '';
    this.palette.querySelectorAll('[data-class]').forEach((button, k) => {
      button.setAttribute('aria-pressed', String(Boolean(cell) && cell.label === about.classes[k]));
    });
    const pictures = document.getElementById('chosen-pictures');
    if (pictures.dataset.cell === this.chosen) return;
    pictures.dataset.cell = this.chosen;
    clearTimeout(this.dwell);
    pictures.replaceChildren();
    if (!cell) return;
    const second = make('div', 'heat map ...', 'frame small');
    pictures.append(this.picture(cell), second);
    this.dwell = setTimeout(() => second.replaceWith(this.picture(cell, true)), DWELL);
  }

  measure() {
    const controls = document.querySelector('.controls');
    const covers = getComputedStyle(controls).position === 'sticky';
    document.documentElement.style.setProperty('--above', `${covers ? controls.offsetHeight : 0}px`);
    document.documentElement.style.setProperty('--below', `${this.palette.offsetHeight}px`);
  }

  focus(id) {
    this.order = 'grid';
    this.choose(id);
    this.measure();
    const card = this.cards.get(id);
    if (!card) return;
    card.focus({preventScroll: true});
    card.scrollIntoView({block: 'nearest'});
  }

  // As `focus`, for a cell that was clicked in its photograph: the page stays where it is.
  chooseInField(id) {
    this.order = 'field';
    this.choose(id);
  }

  step(by) {
    const ids = this.order === 'field' ? this.inOrder : this.visible();
    return ids[Math.min(Math.max(ids.indexOf(this.chosen) + by, 0), ids.length - 1)];
  }

  go(by) {
    const id = this.step(by);
    if (!id) return;
    if (this.order === 'field') this.chooseInField(id);
    else this.focus(id);
  }

  labelNext(name) {
    const cell = this.cells.get(this.chosen);
    if (!cell) return;
    this.onLabel(cell, name);
    this.go(1);
  }

  takeBack() {
    const cell = this.cells.get(this.chosen);
    if (cell && cell.label) this.onLabel(cell, null);
  }

  agree() {
    const cell = this.cells.get(this.chosen);
    if (cell) this.labelNext(cell.likeliest);
  }

  toggleHeat() {
    this.isHeated = document.body.classList.toggle('heated');
    this.heatButton.setAttribute('aria-pressed', String(this.isHeated));
    if (this.isHeated) {
      for (const [id, card] of this.cards) {
        const frame = card.querySelector('.frame');
        if (!frame.querySelector('.heat')) frame.append(this.heatOf(id));
      }
    }
    this.onHeat(this.isHeated);
  }

  columns() {
    const cards = [...this.grid.children];
    const below = cards.findIndex(card => card.offsetTop > cards[0].offsetTop);
    return below < 0 ? cards.length : below;
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select, input, textarea')) return;
    // Before the first click the whole page has the focus.
    const inside = event.target === document.body || event.target.closest('#grid, #palette, #frame');
    const isButton = event.target.closest('button:not(.box), a, summary');
    const sign = pressedSign(event);
    const k = sign ? about.keys.indexOf(sign) : -1;
    const moves = {ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: () => this.columns(), ArrowUp: () => -this.columns()};
    if (moves[event.key]) {
      // Elsewhere they scroll.
      if (!inside || !this.chosen) return;
      this.go(moves[event.key]());
    } else if (k >= 0) this.labelNext(about.classes[k]);
    else if (event.key === 'Enter' && inside && !isButton) this.agree();
    else if (event.key === 'Backspace' || event.key === 'Delete' || sign === '0') this.takeBack();
    else if (sign === HEAT_KEY) this.toggleHeat();
    else return;
    event.preventDefault();
  }
}
