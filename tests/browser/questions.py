"""What a page is asked in JavaScript, in several lines."""

FINDINGS = """
const done = arguments[arguments.length - 1];
const rules = {'color-contrast': {enabled: arguments[1]}};
const options = {runOnly: arguments[0], rules, resultTypes: ['violations']};
axe.run(document, options).then(found => done(
  found.violations.filter(rule => ['serious', 'critical'].includes(rule.impact)).flatMap(rule => rule.nodes.map(
    node => `${rule.id}: ${node.target.join(' ')}: ${(node.any[0] || node.all[0] || node.none[0] || {}).message}`))));
"""
"""What axe-core calls serious or critical, by the rules of some kinds, with or without those on contrast."""
GROUND_AND_INK = """
return [...document.querySelectorAll('article figure.plot img')].map(image => {
  const [card, seen] = [0, 1].map(() => Object.assign(document.createElement('canvas'),
    {width: image.naturalWidth, height: image.naturalHeight}).getContext('2d', {willReadFrequently: true}));
  card.fillStyle = getComputedStyle(document.body).backgroundColor;
  card.fillRect(0, 0, image.naturalWidth, image.naturalHeight);
  card.fillStyle = getComputedStyle(image).backgroundColor;
  card.fillRect(0, 0, image.naturalWidth, image.naturalHeight);
  card.drawImage(image, 0, 0);
  seen.filter = getComputedStyle(image).filter;
  seen.drawImage(card.canvas, 0, 0);
  const {data} = seen.getImageData(0, 0, image.naturalWidth, image.naturalHeight), counts = Array(256).fill(0);
  const linear = v => v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const table = Array.from({length: 256}, (_, v) => linear(v));
  for (let i = 0; i < data.length; i += 4) {
    counts[Math.round(255 * (0.2126 * table[data[i]] + 0.7152 * table[data[i + 1]] + 0.0722 * table[data[i + 2]]))]++;
  }
  const ground = counts.indexOf(Math.max(...counts)), order = [...counts.keys()];
  if (ground < 128) order.reverse();
  let specks = data.length / 4 / 1000;
  return [ground / 255, order.find(level => (specks -= counts[level]) < 0) / 255];
});
"""
"""Luminances of each plot as it is seen: of its ground, and of its ink, the thousandth of it that differs most."""
RAW_TEX = r"""
const found = [], walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const {data, parentElement} = walker.currentNode;
  if (parentElement.closest('pre, code, script, style, mjx-container')) continue;
  if (/\\[(\[a-zA-Z]|\$/.test(data)) found.push(data);
}
return found;
"""
"""Text that should have been typeset."""
