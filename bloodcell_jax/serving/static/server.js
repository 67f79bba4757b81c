// Questions to this server; each change brings the page's token. Refusals are errors with a sentence as their message.
export const about = JSON.parse(document.getElementById('about').textContent);

const ENDED = 'The program does not respond. Start it again and load the page again.';

export const ask = async (path, options = {}) => {
  let answer;
  try {
    answer = await fetch(path, {...options, headers: {...options.headers, 'X-Bloodcell-Token': about.token}});
  } catch (error) {
    throw Object.assign(new Error(ENDED), {isGone: true});
  }
  if (answer.ok) return answer;
  let problem = `The program answered with status ${answer.status}.`;
  try { problem = (await answer.json()).problem || problem; } catch (error) { /* not JSON */ }
  throw Object.assign(new Error(problem), {isGone: answer.status === 410});
};

export const read = async path => (await ask(path)).json();

export const post = async (path, value) => (await ask(path, {method: 'POST', body: JSON.stringify(value)})).json();

// What the address gives, as a file.
export const fetchFile = async path => (await ask(path)).blob();

// Saves a file under this name.
export const save = (file, name) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

export const make = (tag, text, cls) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (cls) element.className = cls;
  return element;
};
