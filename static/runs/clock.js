/* The server's time in the browser, and durations in words. */

let offset = 0; // milliseconds that this machine's clock is behind the server's

export function synchronise(serverNow) {
  offset = Date.parse(serverNow) - Date.now();
}

export function now() {
  return Date.now() + offset;
}

export function duration(began, ended) {
  if (!began) return "";
  const exact = Math.max(0, ((ended ? Date.parse(ended) : now()) - Date.parse(began)) / 1000);
  if (ended && exact < 9.95) return `${exact.toFixed(1)} s`;
  const all = Math.floor(exact);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  if (hours) return `${hours} h ${two(minutes)} min`;
  return minutes ? `${minutes} min ${two(seconds)} s` : `${seconds} s`;
}
