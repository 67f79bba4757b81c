'use strict';
// The review page: cells are listed least certain first, filtered by class, corrected by keyboard; labels are kept in the
// browser and exported as CSV. User text enters by textContent, never as HTML.
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const {model, classes, key, noun} = read('about');
  const items = read('items');
  const grid = document.getElementById('grid');
  const filter = document.getElementById('filter');
  const status = document.getElementById('status');
  const exportButton = document.getElementById('export');
  const heatButton = document.getElementById('heat');
  const hasBoxes = items.some(item => item.box);
  const title = item => item.box ? `${item.file}, cell ${item.cell}` : item.file;
  const make = (tag, text, cls) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (cls) element.className = cls;
    return element;
  };

  // {key of the cell: {label, time}}; lost with the page if the browser stores nothing for files on disk.
  let corrections = {};
  try { corrections = JSON.parse(localStorage.getItem(key) || '{}'); } catch (error) { corrections = {}; }
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(corrections)); } catch (error) { /* page only */ } };

  const cards = items.map((item, i) => {
    const card = make('li', undefined, 'item');
    card.tabIndex = i ? -1 : 0;
    card.dataset.index = i;
    const frame = make('div', undefined, 'frame');
    if (item.image) {
      const image = make('img');
      image.loading = 'lazy';
      image.decoding = 'async';
      image.alt = title(item);
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
    card.append(frame, make('strong', item.predicted), make('span', (100 * item.confidence).toFixed(0) + ' %', 'sure'));
    if (item.predicted !== item.likeliest) card.append(make('div', 'likeliest ' + item.likeliest, 'small'));
    if (item.set.length) card.append(make('div', 'possible: ' + item.set.join(', '), 'small'));
    card.append(make('div', title(item), 'small file'), make('div', '', 'human'));
    return card;
  });
  grid.append(...cards);

  const show = i => {
    const correction = corrections[items[i].key];
    cards[i].classList.toggle('corrected', Boolean(correction));
    cards[i].querySelector('.human').textContent = correction ? 'you: ' + correction.label : '';
    cards[i].setAttribute('aria-label', `${title(items[i])}, ${items[i].predicted}` +
      (correction ? `, you say ${correction.label}` : ''));
  };
  const updateStatus = () => {
    const numVisible = cards.filter(card => !card.hidden).length;
    const num = items.filter(item => corrections[item.key]).length;
    status.textContent = `${numVisible} of ${items.length} ${noun} shown, ${num} labelled by you`;
    exportButton.disabled = !num;
  };
  const label = (i, name) => {
    if (name) corrections[items[i].key] = {label: name, time: new Date().toISOString()};
    else delete corrections[items[i].key];
    // Two files with the same bytes show the same cells.
    items.forEach((item, j) => { if (item.key === items[i].key) show(j); });
    keep();
    updateStatus();
  };
  const matches = i => {
    if (filter.value === '*') return true;
    if (filter.value === '+') return Boolean(corrections[items[i].key]);
    return items[i].predicted === filter.value;
  };
  const focus = i => {
    cards.forEach(card => { if (card.tabIndex === 0) card.tabIndex = -1; });
    cards[i].tabIndex = 0;
    cards[i].focus();
  };
  filter.addEventListener('change', () => {
    cards.forEach((card, i) => { card.hidden = !matches(i); });
    const first = cards.findIndex(card => !card.hidden);
    cards.forEach((card, i) => { card.tabIndex = i === first ? 0 : -1; });
    updateStatus();
  });

  const step = (from, by) => {
    let i = from;
    for (let left = Math.abs(by); left; left--) {
      let next = i + Math.sign(by);
      while (cards[next] && cards[next].hidden) next += Math.sign(by);
      if (!cards[next]) return left === Math.abs(by) ? from : i;
      i = next;
    }
    return i;
  };
  const columns = () => {
    const visible = cards.filter(card => !card.hidden);
    const below = visible.findIndex(card => card.offsetTop > visible[0].offsetTop);
    return below < 0 ? visible.length : below;
  };
  grid.addEventListener('click', event => {
    const card = event.target.closest('.item');
    if (card) focus(Number(card.dataset.index));
  });
  grid.addEventListener('keydown', event => {
    const card = event.target.closest('.item');
    if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
    const i = Number(card.dataset.index);
    const moves = {ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns()};
    const digit = Number(event.key);
    if (moves[event.key]) focus(step(i, moves[event.key]()));
    else if (digit >= 1 && digit <= classes.length) { label(i, classes[digit - 1]); focus(step(i, 1)); }
    else if (event.key === 'Enter') { label(i, items[i].likeliest); focus(step(i, 1)); }
    else if (event.key === 'Backspace' || event.key === 'Delete' || event.key === '0') label(i, null);
    else if (event.key === 'h' && heatButton) document.body.classList.toggle('heated');
    else return;
    event.preventDefault();
  });
  heatButton?.addEventListener('click', () => document.body.classList.toggle('heated'));

  exportButton.addEventListener('click', () => {
    const quote = text => /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    const place = item => hasBoxes ? [item.cell, ...(item.box || ['', '', '', ''])].map(String) : [];
    const places = hasBoxes ? 'cell,left,top,right,bottom,' : '';
    const lines = [`file,${places}sha256_16,machine_label,human_label,confidence,model,time`];
    for (const item of items) {
      const correction = corrections[item.key];
      if (correction) {
        lines.push([item.file, ...place(item), item.digest, item.predicted, correction.label,
          item.confidence.toFixed(6), model, correction.time].map(quote).join(','));
      }
    }
    const link = make('a');
    link.href = URL.createObjectURL(new Blob([lines.join('\n') + '\n'], {type: 'text/csv'}));
    link.download = 'corrections.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  items.forEach((item, i) => show(i));
  updateStatus();
})();
