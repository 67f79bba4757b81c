'use strict';
// The labels that this browser keeps, an entry a cell: no tab and no page writes over what another has labelled. A cell is
// known by its photograph's digest and its box, so that its label comes back wherever it is shown, whatever predicted.
const keptLabels = (() => {
  const PREFIX = 'bloodcell_jax label ';
  const parse = text => {
    try {
      const {label, time} = JSON.parse(text);
      return typeof label === 'string' ? {label, time: String(time)} : null;
    } catch (error) { return null; }
  };
  return {
    // {key of the cell: {label, time}} of all cells, those of other pages too.
    read: () => {
      const found = {};
      try {
        for (const name of Object.keys(localStorage)) {
          const correction = name.startsWith(PREFIX) && parse(localStorage.getItem(name));
          if (correction) found[name.slice(PREFIX.length)] = correction;
        }
      } catch (error) { /* this browser stores nothing for files on disk: labels are lost with the page */ }
      return found;
    },
    // `correction` is null where a label is taken back.
    write: (key, correction) => {
      try {
        if (correction) localStorage.setItem(PREFIX + key, JSON.stringify(correction));
        else localStorage.removeItem(PREFIX + key);
      } catch (error) { /* as above */ }
    },
    // Calls `take` with a cell's key and its label, or null, when another tab has changed it.
    onChange: take => addEventListener('storage', event => {
      if (event.key && event.key.startsWith(PREFIX)) take(event.key.slice(PREFIX.length), parse(event.newValue));
    }),
  };
})();
