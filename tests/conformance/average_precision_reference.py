"""Average precision by its definition, one detection after the other (App. I; Locatello et al., 2020).

Nothing here is shared with the package; in particular the vector's layout is written out again.
"""

import math

CLASSES = [range(3), range(3, 5), range(5, 7), range(7, 15)]


def likeliest(entries):
    """Shape, size, material and color of an object: the first largest entry of each code."""
    return [max(code, key=lambda place: entries[place]) for code in CLASSES]


def distance(detection, target, units):
    return math.sqrt(sum((units[axis] * (detection[15 + axis] - target[15 + axis])) ** 2 for axis in range(3)))


def nearest_of_same_classes(detection, targets, units):
    """Number of that object and the distance to it; no object at an infinite distance if there is none."""
    best, best_distance = None, math.inf
    for number, target in enumerate(targets):
        if target[18] > 0 and likeliest(target) == likeliest(detection):
            here = distance(detection, target, units)
            if here < best_distance:
                best, best_distance = number, here
    return best, best_distance


def true_positives(predictions, targets, threshold, units):
    """For every detection, from the highest score to the lowest, whether it is one."""
    detections = [(scene, entries) for scene, slots in enumerate(predictions) for entries in slots]
    detections.sort(key=lambda detection: -detection[1][18])  # stable
    found, verdicts = set(), []
    for scene, entries in detections:
        number, far = nearest_of_same_classes(entries, targets[scene], units)
        hit = number is not None and far < threshold and (scene, number) not in found
        if hit:
            found.add((scene, number))
        verdicts.append(hit)
    return verdicts


def average_precision(predictions, targets, threshold, units=(6.0, 6.0, 6.0)):
    """Area under interpolated precision over recall; predictions[b][k][f] and targets[b][m][f] are lists of floats."""
    total = sum(target[18] > 0 for scene in targets for target in scene)
    if total == 0:
        return math.nan
    recall, precision, hits = [0.0], [0.0], 0
    for count, hit in enumerate(true_positives(predictions, targets, threshold, units), start=1):
        hits += hit
        recall.append(hits / total)
        precision.append(hits / count)
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))
