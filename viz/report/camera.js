// The camera: which part of the plane is seen. Places run from -1 to 1; zoom 1 shows them all.

const camera = { x: 0, y: 0, zoom: 1, width: 1, height: 1, ratio: 1 };
const MARGIN = 34; // CSS pixels kept free around the whole circuit
const MOST_ZOOM = 60;

const places = {
  x: Float32Array.from(data.places, (p) => p[0]),
  y: Float32Array.from(data.places, (p) => -p[1]), // up is up
};
const half = {
  x: Math.max(...places.x.map(Math.abs), 1e-6),
  y: Math.max(...places.y.map(Math.abs), 1e-6),
};

// CSS pixels for one unit of the plane.
function scale() {
  const fit = Math.min((camera.width / 2 - MARGIN) / half.x, (camera.height / 2 - MARGIN) / half.y);
  return Math.max(1, Math.min(fit, 20 * camera.height)) * camera.zoom;
}

function toScreen(k) {
  const s = scale();
  return {
    x: camera.width / 2 + (places.x[k] - camera.x) * s,
    y: camera.height / 2 + (places.y[k] - camera.y) * s,
  };
}

// Zoom by a factor so that the point under (x, y) stays where it is.
function zoomAt(factor, x, y) {
  const before = scale();
  camera.zoom = clamp(camera.zoom * factor, 1, MOST_ZOOM);
  const after = scale();
  camera.x += (x - camera.width / 2) * (1 / before - 1 / after);
  camera.y += (y - camera.height / 2) * (1 / before - 1 / after);
  keepInSight();
}

function panBy(dx, dy) {
  camera.x -= dx / scale();
  camera.y -= dy / scale();
  keepInSight();
}

function resetCamera() {
  Object.assign(camera, { x: 0, y: 0, zoom: 1 });
}

// Bring a node to the middle, near enough to tell it from its neighbours.
function lookAt(k) {
  camera.zoom = Math.max(camera.zoom, Math.min(4, Math.sqrt(U) / 6));
  camera.x = places.x[k];
  camera.y = places.y[k];
}

function isSeen(k) {
  const { x, y } = toScreen(k);
  return x > 0 && y > 0 && x < camera.width && y < camera.height;
}

// The middle of the view never leaves the circuit.
function keepInSight() {
  camera.x = clamp(camera.x, -half.x, half.x);
  camera.y = clamp(camera.y, -half.y, half.y);
}

// A short distance between neighbours, in the plane: nodes should not hide each other.
const crowding = (() => {
  const nearest = [];
  for (let i = 0; i < U; i++) {
    let least = Infinity;
    for (let j = 0; j < U; j++) {
      const dx = places.x[i] - places.x[j];
      const dy = places.y[i] - places.y[j];
      const square = dx * dx + dy * dy;
      if (square < least && i !== j) least = square;
    }
    nearest.push(Math.sqrt(least));
  }
  return nearest.sort((a, b) => a - b)[Math.floor(U / 3)];
})();
