// The section that starts the command `adapt` on the labels and shows what it prints.
import {make, post, read} from './server.js';

const EVERY = 1000;  // milliseconds

export class Adapt {
  constructor() {
    this.section = document.getElementById('adapt');
    this.button = document.getElementById('adapt-start');
    this.stopButton = document.getElementById('adapt-stop');
    this.status = document.getElementById('adapt-state');
    this.button.addEventListener('click', () => this.start());
    this.stopButton.addEventListener('click', () => post('/adapt/stop', {}).catch(error => this.say(error.message)));
    this.follow();
  }

  say(text) { this.status.textContent = text; }

  update(labels) {
    this.section.hidden = false;
    const given = Object.entries(labels).filter(([, num]) => num);
    const num = given.reduce((sum, [, each]) => sum + each, 0);
    document.getElementById('adapt-labels').textContent = num
      ? `Labelled by you: ${given.map(([name, each]) => `${each} ${name}`).join(', ')}.`
      : 'No cell is labelled yet.';
    this.num = num;
    this.button.disabled = !num || this.isRunning;
  }

  async start() {
    this.button.disabled = true;
    this.say('The labelled cells are being saved.');
    try {
      await post('/adapt', {name: document.getElementById('adapt-name').value.trim()});
      await this.follow();
    } catch (error) {
      this.say(error.message);
      this.button.disabled = !this.num;
    }
  }

  async follow() {
    clearTimeout(this.timer);
    let state;
    try { state = await read('/adapt'); } catch (error) { return; }
    this.isRunning = state.is_running;
    this.button.disabled = !this.num || state.is_running;
    this.stopButton.hidden = !(state.is_running && state.is_own);
    const lines = document.getElementById('adapt-lines');
    lines.hidden = !state.lines.length;
    const text = state.lines.join('\n');
    if (lines.textContent !== text) { lines.textContent = text; lines.scrollTop = lines.scrollHeight; }
    if (state.is_own) {
      this.say(state.is_running ? `Training ${state.name} ...`
        : state.code === 0 ? `${state.name} is complete. To use it: serve --workdir=${state.name}`
        : `The training of ${state.name} ended with exit code ${state.code}; the last line says why.`);
    } else if (state.is_running) this.say('Another person is adapting a model now.');
    if (state.is_running) this.timer = setTimeout(() => this.follow(), EVERY);
  }
}
