'use strict';
// The count of the review page with the reviewer's labels in place of the network's names, beside the network's own.
// `rest` counts the cells that the page does not show, by what is predicted; `corrections` are by the cells' keys.
const drawRecount = (target, {items, corrections, classes, rest, left, mostLeft, noun}) => {
  const network = new Map(), yours = new Map();
  const add = (counts, name, num) => counts.set(name, (counts.get(name) || 0) + num);
  for (const [name, num] of Object.entries(rest)) [network, yours].forEach(counts => add(counts, name, num));
  let numLabelled = 0;
  for (const item of items) {
    if (!item.counted) continue;
    const correction = corrections[item.key];
    if (correction) numLabelled += 1;
    add(network, item.predicted, 1);
    add(yours, correction ? correction.label : item.predicted, 1);
  }
  // Labels of a network with other classes stand behind this one's.
  const named = [...new Set([...classes, ...yours.keys()])].filter(name => !left.includes(name));
  const sum = (counts, names) => names.reduce((total, name) => total + (counts.get(name) || 0), 0);
  const cells = (counts, name) => {
    const num = counts.get(name) || 0, total = sum(counts, named);
    return [String(num), total && named.includes(name) ? `${(100 * num / total).toFixed(1)}%` : ''];
  };
  const body = document.createElement('tbody');
  for (const name of [...named, ...left.filter(each => network.get(each))]) {
    const row = body.insertRow();
    const head = document.createElement('th');
    head.scope = 'row';
    head.textContent = name;
    row.append(head);
    for (const text of [...cells(network, name), ...cells(yours, name)]) row.insertCell().textContent = text;
  }
  target.querySelector('tbody').replaceWith(body);
  const num = sum(yours, [...named, ...left]), open = sum(yours, left);
  target.querySelector('p').textContent =
    `${numLabelled} of the ${num} ${noun} that are counted are labelled by you, ${open} are still left for review` +
    (open > mostLeft * num ? ': until they are labelled, the shares are not a differential count.' : '.');
};
