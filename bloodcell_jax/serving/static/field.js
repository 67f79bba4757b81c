// One photograph at a time with its cells in named boxes, above a strip of all of them.
import {about, make} from './server.js';

// How a cell is marked: labelled, unlike the training images, in doubt, or named.
export const mark = cell => cell.label ? 'yours'
  : cell.predicted === about.unlike ? 'unlike'
  : cell.predicted === about.unclassified ? 'doubt' : 'sure';

// What makes a cell doubtful whatever its class, such as that the edge cuts it, and where it is counted; '' for none.
const markText = cell => [cell.counted_in && `counted in ${cell.counted_in}`, ...cell.marks].filter(Boolean).join(', ');

// The class as it is marked, with what makes the cell doubtful.
export const caption = cell => [className(cell), markText(cell)].filter(Boolean).join(', ');

const className = cell => {
  const percent = `\u00a0${(100 * cell.confidence).toFixed(0)}\u00a0%`;
  return {
    yours: () => cell.label,
    unlike: () => `unlike: ${cell.unlike}`,
    doubt: () => `${cell.likeliest}?${percent}`,
    sure: () => cell.predicted + percent,
  }[mark(cell)]();
};

const percentOf = (part, whole) => `${100 * part / whole}%`;

const place = (element, [left, top, right, bottom], [width, height]) => {
  element.style.left = percentOf(left, width);
  element.style.top = percentOf(top, height);
  element.style.width = percentOf(right - left, width);
  element.style.height = percentOf(bottom - top, height);
};

// Where a caption goes: '' above its box; inside, at the photograph's upper edge; below, beside another box's caption.
const captionPlace = (photograph, i) => {
  const [left, top] = photograph.cells[i].box || [0, 0];
  const [width, height] = photograph.size;
  if (top < 0.06 * height) return 'inside';
  const isNear = photograph.cells.slice(0, i).some(({box}) => box
    && Math.abs(box[1] - top) < 0.06 * height && Math.abs(box[0] - left) < 0.25 * width);
  return isNear ? 'below' : '';
};

// In the right half it ends with its box, so that it stays within the photograph: it is at most half as wide.
const captionPlaces = (photograph, i) => {
  const [left, , right] = photograph.cells[i].box || [0, 0, 0];
  return [captionPlace(photograph, i), left + right > photograph.size[0] ? 'leftwards' : ''].filter(Boolean);
};

const boxes = (photograph, tag) => photograph.cells.map(cell => {
  const box = make(tag, undefined, `box ${mark(cell)}`);
  place(box, cell.box || [0, 0, ...photograph.size], photograph.size);
  return box;
});

export class Field {
  // `onChoose` takes the id of a cell that was clicked.
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.photographs = [];
    this.shown = -1;
    this.chosen = '';
    this.isHeated = false;
    this.tiles = new Map();
    this.strip = document.getElementById('strip');
    this.frame = document.getElementById('frame');
    document.getElementById('previous').addEventListener('click', () => this.show(this.shown - 1));
    document.getElementById('next').addEventListener('click', () => this.show(this.shown + 1));
    this.strip.addEventListener('click', event => {
      const tile = event.target.closest('li');
      if (tile) this.show([...this.strip.children].indexOf(tile));
    });
  }

  // Takes the photographs, in order, of which these have changed.
  update(photographs, changed) {
    this.photographs = photographs;
    for (const photograph of changed) this.drawTile(photograph);
    if (this.shown < 0 && photographs.length) this.show(0);
    else if (changed.includes(photographs[this.shown])) this.draw();
    this.drawName();
  }

  drawTile(photograph) {
    let tile = this.tiles.get(photograph.id);
    if (!tile) {
      tile = make('li');
      const button = make('button');
      button.type = 'button';
      const image = make('img');
      image.loading = 'lazy';
      image.decoding = 'async';
      image.alt = photograph.file;
      image.src = `/photographs/${photograph.id}/small.jpg`;
      const inner = make('span', undefined, 'inner');
      inner.append(image);
      button.append(inner, make('span', '', 'tile-text'));
      tile.append(button);
      this.tiles.set(photograph.id, tile);
      this.strip.append(tile);
    }
    const num = photograph.cells.length;
    const text = {waiting: 'waiting', failed: photograph.reason, done: num === 1 ? '1 cell' : `${num} cells`}[photograph.state];
    tile.querySelector('.tile-text').textContent = text;
    tile.title = photograph.file;
    tile.querySelectorAll('.box').forEach(box => box.remove());
    tile.querySelector('.inner').append(...boxes(photograph, 'span'));
  }

  show(i) {
    if (!this.photographs[i]) return;
    this.strip.children[this.shown]?.classList.remove('shown');
    this.shown = i;
    const tile = this.strip.children[i];
    tile.classList.add('shown');
    // The strip scrolls, not the page.
    this.strip.scrollLeft = tile.offsetLeft - this.strip.offsetLeft - (this.strip.clientWidth - tile.clientWidth) / 2;
    this.drawName();
    this.draw();
  }

  drawName() {
    const photograph = this.photographs[this.shown];
    document.getElementById('field-name').textContent =
      photograph ? `${this.shown + 1} of ${this.photographs.length}: ${photograph.file}` : '';
    document.getElementById('previous').disabled = this.shown <= 0;
    document.getElementById('next').disabled = this.shown >= this.photographs.length - 1;
  }

  draw() {
    const photograph = this.photographs[this.shown];
    const source = `/photographs/${photograph.id}/large.jpg`;
    let image = this.frame.querySelector('img.photograph');
    if (!image || image.getAttribute('src') !== source) {
      image = make('img', undefined, 'photograph');
      image.alt = photograph.file;
      image.width = photograph.size[0];
      image.height = photograph.size[1];
      image.src = source;
    }
    const wrap = make('div', undefined, 'photograph-wrap');
    // As large as it fits into the width and 60 % of the window's height, small pictures at most three times enlarged.
    wrap.style.aspectRatio = photograph.size.join(' / ');
    wrap.style.width = `min(100%, ${60 * photograph.size[0] / photograph.size[1]}vh, ${3 * photograph.size[0]}px)`;
    wrap.append(image);
    boxes(photograph, 'button').forEach((box, i) => {
      const cell = photograph.cells[i];
      box.type = 'button';
      box.dataset.cell = cell.id;
      box.setAttribute('aria-label', `cell ${cell.number}: ${caption(cell)}`);
      box.classList.toggle('chosen', cell.id === this.chosen);
      const text = make('span', caption(cell), 'caption');
      text.classList.add(...captionPlaces(photograph, i));
      box.append(text);
      box.addEventListener('click', () => this.onChoose(cell.id));
      if (this.isHeated && cell.id === this.chosen && (cell.frame || !cell.box)) {
        const heat = make('img', undefined, 'field-heat');
        heat.alt = '';
        heat.src = `/cells/${cell.id}-heat.png`;
        place(heat, cell.frame || [0, 0, ...photograph.size], photograph.size);
        // A single cell's heat map lies over the photograph only where the network saw the whole of it.
        if (cell.frame) wrap.append(heat);
      }
      wrap.append(box);
    });
    const parts = [wrap];
    if (photograph.state !== 'done') {
      parts.push(make('p', photograph.state === 'waiting' ? 'This photograph is waiting to be analysed.'
        : `${photograph.file}: ${photograph.reason}.`));
    }
    this.frame.replaceChildren(...parts);
  }

  // Shows the chosen cell's photograph.
  choose(cell, photograph) {
    this.chosen = cell ? cell.id : '';
    if (!cell) return;
    const i = this.photographs.indexOf(photograph);
    if (i === this.shown) this.draw();
    else this.show(i);
  }

  heat(isHeated) {
    this.isHeated = isHeated;
    if (this.photographs[this.shown]) this.draw();
  }
}
