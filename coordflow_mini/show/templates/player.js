const player = document.getElementById("player"), slider = document.getElementById("frame");
const button = document.getElementById("play"), now = document.getElementById("now");
const mark = document.getElementById("mark"), data = player.dataset;
const psnr = data.psnr.split(",");
const corner = ["--x", "--y"].map(name => parseFloat(player.style.getPropertyValue(name)));
const last = psnr.length - 1, fps = Number(data.fps);
let playing = false, since = 0, from = 0;

function show(index) {
  slider.value = index;
  const column = index % data.columns, row = Math.floor(index / data.columns);
  player.style.setProperty("--x", column * data.across + corner[0] + "%");
  player.style.setProperty("--y", row * data.down + corner[1] + "%");
  if (mark && last) for (const end of ["x1", "x2"]) mark.setAttribute(end, 1000 * index / last);
  const words = `frame ${index} · ${(index / fps).toFixed(2)} s · ${psnr[index]} dB`;
  now.textContent = words;
  slider.setAttribute("aria-valuetext", words);
}
function tick(time) {
  if (!playing) return;
  since ||= time;
  const seconds = (time - since) / 1000, index = from + Math.floor(seconds * fps);
  show(index % (last + 1));
  requestAnimationFrame(tick);
}
function play(on) {
  playing = on && last > 0;
  since = 0;
  from = slider.value == last ? 0 : Number(slider.value);
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.firstElementChild.textContent = playing ? "❚❚" : "▶";
  if (playing) requestAnimationFrame(tick);
}
button.addEventListener("click", () => play(!playing));
slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key == " " && event.target == slider) { event.preventDefault(); play(!playing); }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.target.closest("input, .scroll")) return;
  play(false);
  show(Math.min(Math.max(Number(slider.value) + step, 0), last));
});
show(0);
