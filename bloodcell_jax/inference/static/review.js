'use strict';
// The review page: items are shown least certain first, filtered by class, corrected by keyboard, kept in the browser
// and exported as CSV. Every word of a user enters by textContent, never as HTML.
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const {model, classes, key} = read('about');
  const items = read('items');
  const grid = document.getElementById('grid');
  const filter = document.getElementById('filter');
  const status = document.getElementById('status');
  const exportButton = document.getElementById('export');
  const make = (tag, text, cls) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (cls) element.className = cls;
    return element;
  };

  // {digest: {label, time}}; where the browser keeps nothing for a file on disk, for as long as the page is open.
  let corrections = {};
  try { corrections = JSON.parse(localStorage.getItem(key) || '{}'); } catch (error) { corrections = {}; }
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(corrections)); } catch (error) { /* page only */ } };

  const cells = items.map((item, i) => {
    const cell = make('li', undefined, 'item');
    cell.tabIndex = i ? -1 : 0;
    cell.dataset.index = i;
    const frame = make('div', undefined, 'frame');
    if (item.image) {
      const image = make('img');
      image.loading = 'lazy';
      image.decoding = 'async';
      image.alt = item.file;
      image.src = 'data:image/jpeg;base64,' + item.image;
      frame.append(image);
    } else frame.append(make('span', 'the file has changed or gone'));
    if (item.heat) {
      const heat = make('img', undefined, 'heat');
      heat.alt = '';
      heat.loading = 'lazy';
      heat.src = 'data:image/png;base64,' + item.heat;
      frame.append(heat);
    }
    cell.append(frame, make('strong', item.predicted), make('span', (100 * item.confidence).toFixed(0) + ' %', 'sure'));
    if (item.predicted !== item.likeliest) cell.append(make('div', 'likeliest ' + item.likeliest, 'small'));
    if (item.set.length) cell.append(make('div', 'possible: ' + item.set.join(', '), 'small'));
    cell.append(make('div', item.file, 'small file'), make('div', '', 'human'));
    return cell;
  });
  grid.append(...cells);

  const show = i => {
    const correction = corrections[items[i].digest];
    cells[i].classList.toggle('corrected', Boolean(correction));
    cells[i].querySelector('.human').textContent = correction ? 'you: ' + correction.label : '';
    cells[i].setAttribute('aria-label', `${items[i].file}, ${items[i].predicted}` +
      (correction ? `, you say ${correction.label}` : ''));
  };
  const tell = () => {
    const shown = cells.filter(cell => !cell.hidden).length;
    const num = items.filter(item => corrections[item.digest]).length;
    status.textContent = `${shown} of ${items.length} images shown, ${num} labelled by you`;
    exportButton.disabled = !num;
  };
  const label = (i, name) => {
    if (name) corrections[items[i].digest] = {label: name, time: new Date().toISOString()};
    else delete corrections[items[i].digest];
    // Two files of the same bytes are one image.
    items.forEach((item, j) => { if (item.digest === items[i].digest) show(j); });
    keep();
    tell();
  };
  const matches = i => {
    if (filter.value === '*') return true;
    if (filter.value === '+') return Boolean(corrections[items[i].digest]);
    return items[i].predicted === filter.value;
  };
  const focus = i => {
    cells.forEach(cell => { if (cell.tabIndex === 0) cell.tabIndex = -1; });
    cells[i].tabIndex = 0;
    cells[i].focus();
  };
  filter.addEventListener('change', () => {
    cells.forEach((cell, i) => { cell.hidden = !matches(i); });
    const first = cells.findIndex(cell => !cell.hidden);
    cells.forEach((cell, i) => { cell.tabIndex = i === first ? 0 : -1; });
    tell();
  });

  const step = (from, by) => {
    let i = from;
    for (let left = Math.abs(by); left; left--) {
      let next = i + Math.sign(by);
      while (cells[next] && cells[next].hidden) next += Math.sign(by);
      if (!cells[next]) return left === Math.abs(by) ? from : i;
      i = next;
    }
    return i;
  };
  const columns = () => {
    const shown = cells.filter(cell => !cell.hidden);
    const below = shown.findIndex(cell => cell.offsetTop > shown[0].offsetTop);
    return below < 0 ? shown.length : below;
  };
  grid.addEventListener('click', event => {
    const cell = event.target.closest('.item');
    if (cell) focus(Number(cell.dataset.index));
  });
  grid.addEventListener('keydown', event => {
    const cell = event.target.closest('.item');
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const i = Number(cell.dataset.index);
    const moves = {ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns()};
    const digit = Number(event.key);
    if (moves[event.key]) focus(step(i, moves[event.key]()));
    else if (digit >= 1 && digit <= classes.length) { label(i, classes[digit - 1]); focus(step(i, 1)); }
    else if (event.key === 'Enter') { label(i, items[i].likeliest); focus(step(i, 1)); }
    else if (event.key === 'Backspace' || event.key === 'Delete' || event.key === '0') label(i, null);
    else if (event.key === 'h') document.body.classList.toggle('heated');
    else return;
    event.preventDefault();
  });
  document.getElementById('heat').addEventListener('click', () => document.body.classList.toggle('heated'));

  exportButton.addEventListener('click', () => {
    const quote = text => /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    const lines = ['file,sha256_16,machine_label,human_label,confidence,model,time'];
    for (const item of items) {
      const correction = corrections[item.digest];
      if (correction) {
        lines.push([item.file, item.digest, item.predicted, correction.label, item.confidence.toFixed(6), model,
          correction.time].map(quote).join(','));
      }
    }
    const link = make('a');
    link.href = URL.createObjectURL(new Blob([lines.join('\n') + '\n'], {type: 'text/csv'}));
    link.download = 'corrections.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  items.forEach((item, i) => show(i));
  tell();
})();
