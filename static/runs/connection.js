/* The WebSocket of a run, kept up: it comes back after every loss, with a growing and jittered pause, and asks
   for what follows the last sequence number it has, so that nothing is lost and nothing comes twice. */

const FIRST_PAUSE = 500; // milliseconds
const LONGEST_PAUSE = 15000;
const SILENCE = 40000; // the server says something every 15 s: longer silence means a dead line
const FINAL = new Map([[4401, "signed-out"], [4403, "withdrawn"], [4404, "withdrawn"]]);

export class Connection {
  /* `after()` gives the last sequence number, `onMessage(message)` takes each message, and
     `onState(name, seconds)` hears of connecting, live, lost (next attempt in `seconds`), signed-out, withdrawn, done. */
  constructor({ path, after, onMessage, onState }) {
    Object.assign(this, { path, after, onMessage, onState });
    this.pause = FIRST_PAUSE;
    this.heard = 0;
    this.over = false;
    this.socket = null;
    this.timer = 0;
    window.addEventListener("online", () => this.nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.nudge());
    window.setInterval(() => this.watch(), 5000);
    this.open();
  }

  open() {
    window.clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.path}?after=${this.after()}`);
    this.socket = socket;
    this.heard = Date.now();
    this.onState("connecting");
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.pause = FIRST_PAUSE;
      const message = JSON.parse(event.data);
      this.onMessage(message);
      if (message.type === "caught_up") this.onState("live");
    };
    socket.onclose = (event) => socket === this.socket && this.lost(event.code);
  }

  lost(code) {
    this.socket = null;
    if (this.over) return;
    if (FINAL.has(code)) {
      this.over = true;
      this.onState(FINAL.get(code));
      return;
    }
    const wait = this.pause * (0.5 + Math.random() / 2);
    this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
    this.onState("lost", wait / 1000);
    this.timer = window.setTimeout(() => this.open(), wait);
  }

  /* The machine woke up, or the network came back: do not sit out the pause, do not trust an old line. */
  nudge() {
    if (this.over) return;
    if (!this.socket) {
      this.pause = FIRST_PAUSE;
      this.open();
    } else {
      this.watch();
    }
  }

  watch() {
    if (this.over || !this.socket || Date.now() - this.heard < SILENCE) return;
    const dead = this.socket;
    this.socket = null;
    dead.close();
    this.open();
  }

  /* Nothing more will come. */
  finish() {
    if (this.over) return;
    this.over = true;
    window.clearTimeout(this.timer);
    if (this.socket) this.socket.close(1000);
    this.onState("done");
  }
}
