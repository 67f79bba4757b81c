// Photographs that are dropped or chosen, sent a few at a time. The server says of each name first whether it wants the file.
import {ask, post} from './server.js';

const AT_ONCE = 3;
const NAMES_AT_ONCE = 1000;

// [name with its folders, file] of everything below an entry that was dropped.
const walk = async (entry, found) => {
  if (entry.isFile) {
    found.push([entry.fullPath, await new Promise((done, fail) => entry.file(done, fail))]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives a hundred entries at a time, and none at the end.
    const entries = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!entries.length) return;
    for (const inner of entries) await walk(inner, found);
  }
};

export class Upload {
  // `onProblem` takes a sentence, `onChange` nothing.
  constructor({onProblem, onChange}) {
    this.total = 0;
    this.done = 0;
    this.passedOver = 0;
    this.onProblem = onProblem;
    this.onChange = onChange;
    this.waiting = [];
    this.running = 0;
    const drop = document.getElementById('drop');
    for (const [button, input] of [['choose-files', 'files'], ['choose-folder', 'folder']]) {
      const chosen = document.getElementById(input);
      document.getElementById(button).addEventListener('click', () => chosen.click());
      chosen.addEventListener('change', () => {
        this.add([...chosen.files].map(file => [file.webkitRelativePath || file.name, file]));
        chosen.value = '';
      });
    }
    // Anywhere on the page: a photograph that is dropped beside the box must not replace the page.
    document.addEventListener('dragover', event => { event.preventDefault(); drop.classList.add('over'); });
    document.addEventListener('dragleave', event => { if (!event.relatedTarget) drop.classList.remove('over'); });
    document.addEventListener('drop', event => {
      event.preventDefault();
      drop.classList.remove('over');
      this.addDropped(event.dataTransfer);
    });
  }

  get isBusy() { return this.running > 0 || this.waiting.length > 0; }

  async addDropped(transfer) {
    // Read before the first wait, after which the browser has emptied it.
    const entries = [...transfer.items].map(item => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    const files = [...transfer.files].map(file => [file.name, file]);
    const found = [];
    try {
      for (const entry of entries) await walk(entry, found);
    } catch (error) {
      this.onProblem(`A file or folder cannot be read: ${error.message}`);
    }
    this.add(entries.length ? found : files);
  }

  async add(named) {
    this.running += 1;
    try {
      for (let i = 0; i < named.length; i += NAMES_AT_ONCE) {
        const part = named.slice(i, i + NAMES_AT_ONCE);
        const {answers} = await post('/names', {files: part.map(([name, file]) => [name, file.size])});
        part.forEach((each, k) => {
          if (answers[k] === null) this.passedOver += 1;
          else if (answers[k]) this.onProblem(answers[k]);
          else { this.waiting.push(each); this.total += 1; }
        });
      }
    } catch (error) { this.onProblem(error.message); }
    this.running -= 1;
    this.onChange();
    this.advance();
  }

  advance() {
    while (this.running < AT_ONCE && this.waiting.length) {
      this.running += 1;
      this.send(...this.waiting.shift()).finally(() => {
        this.running -= 1;
        this.done += 1;
        if (!this.isBusy) { this.total = 0; this.done = 0; }
        this.onChange();
        this.advance();
      });
    }
  }

  async send(name, file) {
    try {
      await ask('/photographs', {method: 'POST', body: file, headers: {'X-Name': encodeURIComponent(name)}});
    } catch (error) {
      if (error.isGone) this.waiting = [];
      this.onProblem(error.message);
    }
  }
}
