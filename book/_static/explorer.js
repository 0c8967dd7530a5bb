/* The explorer: a data set, a scene and a number of slots are chosen; pictures, numbers and the curve follow.
   What is chosen stands in the address, as #set=clevr-6-7&scene=3&slots=21, so that a view can be linked. */
"use strict";

(() => {
  const root = document.querySelector(".explorer");
  const source = root?.querySelector("script");
  if (!source) return;

  const FINE = 64; // pixels a side from which a picture needs no sharp pixels
  const sets = JSON.parse(source.textContent);
  const one = (selector, within = root) => within.querySelector(selector);
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];
  const slider = one("#explorer-slots");
  const cards = all(".explorer-card");
  const curve = one(".explorer-curve");
  const pictures = new Map();
  const chosen = { set: sets[0], scene: 0, place: 0 };

  const written = (score) => (score === null ? "–" : (Math.round(100 * score) / 100 + 0).toFixed(2)); // no -0.00
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const sceneData = () => chosen.set.scenes[chosen.scene];
  const slots = () => chosen.set.slots[chosen.place];
  const place = (set, count) => {
    const distance = (candidate) => Math.abs(set.slots[candidate] - count);
    return set.slots.map((_, index) => index).reduce((a, b) => (distance(b) < distance(a) ? b : a));
  };

  /* Pictures are decoded once; a canvas takes its part of the sheet when it is there and still wanted. */
  const decoded = (address) => {
    if (!pictures.has(address)) {
      const picture = new Image();
      picture.src = address;
      pictures.set(address, picture.decode().then(() => picture));
    }
    return pictures.get(address);
  };

  const draw = async (canvas, address, columns = 1, rows = 1, column = 0, row = 0) => {
    const wanted = [address, column, row].join();
    canvas.wanted = wanted;
    const picture = await decoded(address);
    if (canvas.wanted !== wanted) return;
    const [width, height] = [picture.naturalWidth / columns, picture.naturalHeight / rows];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.classList.toggle("explorer-fine", width > FINE);
    canvas.getContext("2d").drawImage(picture, column * width, row * height, width, height, 0, 0, width, height);
  };

  const label = (canvas, text) => canvas.setAttribute("aria-label", text);

  const showGiven = () => {
    const scene = sceneData();
    const [truth, picture] = all(".explorer-given canvas");
    draw(picture, scene.picture);
    draw(truth, scene.truth);
    label(picture, `Picture of scene ${chosen.scene + 1}, with ${plural(scene.objects, "object")}`);
    label(truth, `True segmentation of scene ${chosen.scene + 1}, background in gray`);
  };

  const showCard = (card) => {
    const { variant, label: name } = card.dataset;
    const { set, place: column } = chosen;
    const [scene, row] = [sceneData(), set.variants.indexOf(variant)];
    card.hidden = row < 0;
    if (card.hidden) return;
    const [segmentation, painting] = all("canvas", card);
    const [columns, rows] = [set.slots.length, set.variants.length];
    const [score, used] = [scene.fAri[variant][column], scene.used[variant][column]];
    draw(segmentation, scene.segmentation, columns, rows, column, row);
    label(segmentation, `Segmentation by ${name} with ${slots()} slots, of which ${used} own pixels`);
    one(".explorer-painted", card).hidden = !scene.painting;
    if (scene.painting) draw(painting, scene.painting, columns, rows, column, row);
    label(painting, `Reconstruction by ${name} with ${slots()} slots`);
    one("b", card).textContent = written(score);
    one(".explorer-bar i", card).style.width = `${100 * Math.max(0, score)}%`;
    const told = (scores) => written(scores[variant][column]);
    const means = [`all scenes: ${told(set.average)}`, `all, blind: ${told(set.averageBlind)}`];
    const lines = [`blind ${told(scene.blind)}`, ...means, `mBO ${told(scene.mbo)}`, `${used} of ${slots()} in use`];
    one(".explorer-more", card).innerText = lines.join("\n");
  };

  const showSlots = () => {
    const [count, trained] = [slots(), chosen.set.train];
    const note = count === trained ? "as in training" : `in training: ${trained}`;
    slider.max = chosen.set.slots.length - 1;
    slider.value = chosen.place;
    slider.setAttribute("aria-valuetext", `${count} slots, ${note}`);
    one(".explorer-slots b").textContent = count;
    one(".explorer-slots label span").textContent = `(${note})`;
    one(".explorer-ticks").replaceChildren(
      ...chosen.set.slots.map((tick) => {
        const mark = document.createElement("span");
        mark.textContent = tick;
        mark.className = tick === trained ? "explorer-trained" : "";
        return mark;
      }),
    );
  };

  /* The curve's points stand under the slider's positions. */
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const showCurve = () => {
    const { set, place: current } = chosen;
    const shown = cards.filter((card) => !card.hidden);
    const values = shown.flatMap((card) => sceneData().fAri[card.dataset.variant]).concat(set.floor ?? []);
    const [low, high] = [Math.floor(5 * Math.min(...values)) / 5, Math.ceil(5 * Math.max(...values)) / 5];
    const [width, height, edge, margin] = [curve.clientWidth, curve.clientHeight, 14, 12];
    const x = (index) => edge + (index / Math.max(1, set.slots.length - 1)) * (width - 2 * edge);
    const y = (score) => height - margin - ((score - low) / (high - low || 1)) * (height - 2 * margin);
    const upright = (index, name) => svg("line", { x1: x(index), x2: x(index), y1: 0, y2: height, class: name });
    const levels = low < high ? [low, (low + high) / 2, high] : [low];
    const parts = levels.map((score) => svg("line", { x1: 0, x2: width, y1: y(score), y2: y(score), class: "explorer-level" }));
    const trained = set.slots.indexOf(set.train);
    if (trained >= 0) parts.push(upright(trained, "explorer-trained"));
    parts.push(upright(current, "explorer-now"));
    const line = (scores) => scores.map((score, index) => `${x(index)},${y(score)}`).join(" ");
    one(".explorer-floored").hidden = !set.floor;
    if (set.floor) parts.push(svg("polyline", { points: line(set.floor), class: "explorer-floor" }));
    for (const card of shown) {
      const scores = sceneData().fAri[card.dataset.variant];
      const group = svg("g", { class: "explorer-hue", style: card.getAttribute("style") });
      group.append(svg("polyline", { points: line(scores) }));
      const shape = one("path", card).getAttribute("d");
      scores.forEach((score, index) => {
        const scale = index === current ? 1.4 : 0.8;
        group.append(svg("path", { d: shape, transform: `translate(${x(index)} ${y(score)}) scale(${scale})` }));
      });
      parts.push(group);
    }
    for (const score of levels) {
      const text = svg("text", { x: 0, y: y(score) - 3 });
      text.textContent = Number(score.toFixed(1));
      parts.push(text);
    }
    curve.replaceChildren(...parts);
  };

  const showChoices = () => {
    const { set } = chosen;
    one(`input[name=explorer-set][value="${set.id}"]`).checked = true;
    all("input[name=explorer-scene]").forEach((input, index) => {
      const scene = set.scenes[index];
      input.checked = index === chosen.scene;
      input.parentElement.hidden = !scene;
      if (!scene) return;
      input.setAttribute("aria-label", `Scene ${index + 1}, ${plural(scene.objects, "object")}`);
      one("i", input.parentElement).style.backgroundImage = `url(${scene.picture})`;
    });
  };

  const tell = () => {
    const shown = cards.filter((card) => !card.hidden);
    const scores = shown.map((card) => `${card.dataset.label} ${one("b", card).textContent}`).join(", ");
    const where = `${chosen.set.label}, scene ${chosen.scene + 1}, ${slots()} slots`;
    one(".explorer-status").textContent = `${where}. F-ARI: ${scores}.`;
  };

  const address = () => `#set=${chosen.set.id}&scene=${chosen.scene + 1}&slots=${slots()}`;

  const show = () => {
    showChoices();
    showGiven();
    cards.forEach(showCard);
    showSlots();
    showCurve();
    one(".explorer-link a").href = address();
  };

  const change = (changes) => {
    Object.assign(chosen, changes);
    show();
    tell();
    history.replaceState(null, "", address());
  };

  /* What the address does not say, or says wrongly, is left: the middle scene, as many slots as in training. */
  const follow = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const set = sets.find((candidate) => candidate.id === asked.get("set")) ?? chosen.set;
    const scene = Number.parseInt(asked.get("scene"), 10) - 1;
    const count = Number.parseInt(asked.get("slots"), 10);
    chosen.set = set;
    chosen.scene = set.scenes[scene] ? scene : Math.floor(set.scenes.length / 2);
    chosen.place = place(set, Number.isNaN(count) ? set.train : count);
    show();
    if (asked.has("slots") || asked.has("scene")) root.scrollIntoView({ block: "start" });
  };

  one(".explorer-off").hidden = true;
  one(".explorer-on").hidden = false;
  slider.addEventListener("input", () => change({ place: Number(slider.value) }));
  for (const input of all("input[name=explorer-scene]")) {
    input.addEventListener("change", () => change({ scene: Number(input.value) - 1 }));
  }
  for (const input of all("input[name=explorer-set]")) {
    input.addEventListener("change", () => {
      const set = sets.find((candidate) => candidate.id === input.value);
      change({ set, scene: Math.min(chosen.scene, set.scenes.length - 1), place: place(set, slots()) });
    });
  }
  window.addEventListener("hashchange", () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!["set", "scene", "slots"].some((name) => asked.has(name))) return; // a link to a heading
    follow();
    tell();
  });
  new ResizeObserver(showCurve).observe(curve);
  follow();
})();
