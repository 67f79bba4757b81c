'use strict';
// For the review page, which holds it, and the page of serve, which loads it.
// The digit or letter of a key, a capital one with Shift; '' for any other. The row of digits gives other signs on a
// French keyboard, and other scripts have no letters a to z: there the place of the key decides.
const pressedSign = event => {
  const sign = event.key.toLowerCase();
  if (/^[0-9]$/.test(sign)) return sign;
  if (sign.length > 1 && !['dead', 'process', 'unidentified'].includes(sign)) return '';
  const [, kind, place] = /^(Digit|Numpad|Key)([0-9A-Z])$/.exec(event.code) || ['', '', ''];
  if (kind === 'Digit' || kind === 'Numpad') return event.shiftKey ? '' : place;
  const letter = /^[a-z]$/.test(sign) ? sign : place.toLowerCase();
  return event.shiftKey ? letter.toUpperCase() : letter;
};
