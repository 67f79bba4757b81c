'use strict';
// The review page: cells are listed least certain first, filtered by class, and labelled by keyboard, mouse or touch; labels
// are kept in the browser and exported as CSV. User text enters by textContent, never as HTML.
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const {model, classes, keys, heat, noun, rest, left, mostLeft} = read('about');
  const items = read('items');
  const grid = document.getElementById('grid');
  const filter = document.getElementById('filter');
  const status = document.getElementById('status');
  const exportButton = document.getElementById('export');
  const removeButton = document.getElementById('remove');
  const elsewhere = document.getElementById('elsewhere');
  const recount = document.getElementById('recount');
  const heatButton = document.getElementById('heat');
  const palette = document.getElementById('palette');
  const classButtons = [...palette.querySelectorAll('[data-class]')];
  const hasBoxes = items.some(item => item.box);
  const title = item => item.box ? `${item.file}, cell ${item.cell}` : item.file;
  const make = (tag, text, cls) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (cls) element.className = cls;
    return element;
  };

  // {key of the cell: {label, time}}, those of cells that this page does not show too.
  const corrections = keptLabels.read();
  const shownKeys = new Set(items.map(item => item.key));

  const cards = items.map((item, i) => {
    const card = make('li', undefined, 'item');
    card.tabIndex = -1;
    card.dataset.index = i;
    const frame = make('div', undefined, 'frame');
    if (item.image) {
      const image = make('img');
      image.loading = 'lazy';
      image.decoding = 'async';
      image.alt = title(item);
      image.src = 'data:image/jpeg;base64,' + item.image;
      frame.append(image);
    } else frame.append(make('span', 'the file has changed or is gone'));
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
    const marks = [...item.marks, ...(item.counted ? [] : ['not counted'])];
    if (marks.length) card.append(make('div', marks.join(', '), 'small marks'));
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
    const visible = items.filter((item, i) => !cards[i].hidden);
    const numApart = visible.filter(item => !item.counted).length;
    const num = items.filter(item => corrections[item.key]).length;
    status.textContent = `${visible.length} of ${items.length} ${noun} shown, ` +
      `${numApart ? `${numApart} of them not counted, ` : ''}${num} labelled by you`;
    exportButton.disabled = removeButton.disabled = !num;
    const numElsewhere = Object.keys(corrections).filter(key => !shownKeys.has(key)).length;
    elsewhere.hidden = !numElsewhere;
    elsewhere.textContent = `This browser keeps ${numElsewhere} more label${numElsewhere === 1 ? '' : 's'}, of ${noun} that ` +
      'this page does not show: they are of other folders, or left out by --review_max. They are neither exported nor removed here.';
    drawRecount(recount, {items, corrections, classes, rest, left, mostLeft, noun});
  };
  // The cell that a key or a button labels; -1 where none is shown.
  let chosen = -1;
  const showChosen = () => {
    const item = items[chosen];
    const correction = item && corrections[item.key];
    document.getElementById('chosen').textContent = item ? title(item)
      : cards.some(card => !card.hidden) ? 'all are labelled; choose one to change its label' : 'nothing to label';
    palette.querySelectorAll('button').forEach(button => { button.disabled = !item; });
    classButtons.forEach((button, k) => {
      button.setAttribute('aria-pressed', String(Boolean(correction) && correction.label === classes[k]));
    });
  };
  const choose = i => {
    if (cards[chosen]) {
      cards[chosen].classList.remove('chosen');
      cards[chosen].tabIndex = -1;
    }
    chosen = i;
    if (cards[chosen]) {
      cards[chosen].classList.add('chosen');
      cards[chosen].tabIndex = 0;
    }
    showChosen();
  };
  // The first that a key labels without changing a label; -1 where all are labelled.
  const firstOpen = () => cards.findIndex((card, i) => !card.hidden && !corrections[items[i].key]);
  // `correction` is null where a label is taken back.
  const take = (key, correction) => {
    if (correction) corrections[key] = correction;
    else delete corrections[key];
    // Two files with the same bytes show the same cells.
    items.forEach((item, j) => { if (item.key === key) show(j); });
  };
  const update = () => { updateStatus(); showChosen(); };
  const label = (i, name) => {
    const correction = name ? {label: name, time: new Date().toISOString()} : null;
    keptLabels.write(items[i].key, correction);
    take(items[i].key, correction);
    update();
  };
  keptLabels.onChange((key, correction) => { take(key, correction); update(); });
  const matches = i => {
    if (filter.value === '*') return true;
    if (filter.value === '+') return Boolean(corrections[items[i].key]);
    if (filter.value === '?') return items[i].counted && left.includes(items[i].predicted);
    return items[i].predicted === filter.value;
  };
  // Room for what covers the upper and the lower edge of the window, for scrolling to a card; the height between them.
  const measure = () => {
    const controls = document.querySelector('.controls');
    // Heights are fractions of a pixel; the browser scrolls by whole ones.
    const room = element => Math.ceil(element.getBoundingClientRect().height) + 1;
    const above = getComputedStyle(controls).position === 'sticky' ? room(controls) : 0, below = room(palette);
    document.documentElement.style.setProperty('--above', `${above}px`);
    document.documentElement.style.setProperty('--below', `${below}px`);
    return innerHeight - above - below;
  };
  addEventListener('resize', measure);
  const focus = i => {
    choose(i);
    const room = measure();
    cards[i].focus({preventScroll: true});
    // Of one that is taller than the room the picture is seen.
    cards[i].scrollIntoView({block: cards[i].offsetHeight > room ? 'start' : 'nearest'});
  };
  filter.addEventListener('change', () => {
    cards.forEach((card, i) => { card.hidden = !matches(i); });
    // Cards that are hidden inside the grid cost Chromium a second of layout with 2,000 of them.
    grid.replaceChildren(...cards.filter(card => !card.hidden));
    if (!cards[chosen] || cards[chosen].hidden) choose(firstOpen());
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
  const labelNext = name => {
    if (chosen < 0) return;
    const i = chosen;
    label(i, name);
    focus(step(i, 1));
  };
  const takeBack = () => {
    if (chosen < 0) return;
    label(chosen, null);
    focus(chosen);
  };
  const agree = () => { if (chosen >= 0) labelNext(items[chosen].likeliest); };
  const toggleHeat = () => heatButton.setAttribute('aria-pressed', String(document.body.classList.toggle('heated')));
  palette.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    if (button.dataset.class) labelNext(classes[Number(button.dataset.class)]);
    else if (button.id === 'agree') agree();
    else takeBack();
  });

  const moves = {ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns()};
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select, input, textarea')) return;
    // Before the first click the whole page has the focus.
    const inside = event.target === document.body || event.target.closest('#grid, #palette');
    const isButton = event.target.closest('button, a, summary');
    const sign = pressedSign(event);
    const k = sign ? keys.indexOf(sign) : -1;
    if (moves[event.key]) {
      // Elsewhere they scroll.
      if (!inside) return;
      const next = step(chosen, moves[event.key]());
      if (next >= 0) focus(next);
    } else if (k >= 0) labelNext(classes[k]);
    else if (event.key === 'Enter' && inside && !isButton) agree();
    else if (event.key === 'Backspace' || event.key === 'Delete' || sign === '0') takeBack();
    else if (sign === heat && heatButton) toggleHeat();
    else return;
    event.preventDefault();
  });
  heatButton?.addEventListener('click', toggleHeat);

  // [name, text of a cell] of each column of the exported list.
  const columnsOfList = [
    ['file', item => item.file],
    ...(hasBoxes ? [
      ['cell', item => item.cell],
      ...['left', 'top', 'right', 'bottom'].map((side, n) => [side, item => item.box ? item.box[n] : '']),
    ] : []),
    ['sha256_16', item => item.digest],
    ['machine_label', item => item.predicted],
    ['human_label', item => corrections[item.key].label],
    ['confidence', item => item.confidence.toFixed(6)],
    ['model', () => model],
    ['time', item => corrections[item.key].time],
  ];
  exportButton.addEventListener('click', () => {
    const quote = text => /[",;\t\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    const lines = [columnsOfList.map(([name]) => name)];
    for (const item of items) {
      if (corrections[item.key]) lines.push(columnsOfList.map(([, cell]) => quote(String(cell(item)))));
    }
    const text = lines.map(cells => cells.join(',') + '\n').join('');
    // Without the mark Excel takes UTF-8 for another encoding; plain text needs none.
    const mark = /[^\x00-\x7f]/.test(text) ? '\ufeff' : '';
    const link = make('a');
    link.href = URL.createObjectURL(new Blob([mark + text], {type: 'text/csv'}));
    link.download = 'corrections.csv';
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  removeButton.addEventListener('click', () => {
    const labelled = [...shownKeys].filter(key => corrections[key]);
    if (!confirm(`Remove ${labelled.length} label${labelled.length === 1 ? '' : 's'} of this page from this browser? ` +
      'What you have not exported is lost.')) return;
    for (const key of labelled) {
      keptLabels.write(key, null);
      take(key, null);
    }
    choose(firstOpen());
    updateStatus();
  });

  items.forEach((item, i) => show(i));
  choose(firstOpen());
  updateStatus();
  measure();
})();
