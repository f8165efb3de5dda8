/** A pixel of a picture, away from text, and the colour that the element there says itself. */
export interface SamplePoint {
  readonly x: number;
  readonly y: number;
  readonly element: string;
  /** None where another element may lie over it. */
  readonly colour?: string;
}

/** Points in all boxes, on all borders, and on all lines with their tips. */
export function samplePoints(svg: string): SamplePoint[] {
  const elements = svg.match(/<(?:rect|path) [^>]*>/g) ?? [];
  return elements.flatMap((element) => {
    const attributes = new Map([...element.matchAll(/ ([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    return element.startsWith('<rect') ? ofRectangle(element, attributes) : ofPath(element, attributes);
  });
}

function ofRectangle(element: string, attributes: ReadonlyMap<string, string>): SamplePoint[] {
  const number = (name: string): number => Number(attributes.get(name) ?? 0);
  const [x, y, height] = ['x', 'y', 'height'].map(number);
  const border = number('stroke-width');
  const inside = { x: x + border / 2 + 1, y: y + height / 2, element, colour: attributes.get('fill') };
  // Dashes begin behind the rounded corner.
  const top = { x: x + number('rx') + 3, y, element, colour: attributes.get('stroke') };
  return attributes.has('stroke') ? [inside, top] : [inside];
}

function ofPath(element: string, attributes: ReadonlyMap<string, string>): SamplePoint[] {
  const path = attributes.get('d') ?? '';
  const [stroke, fill] = [attributes.get('stroke'), attributes.get('fill')];
  const tip = /^M(\S+) (\S+) l(\S+)/.exec(path)?.slice(1).map(Number);
  if (tip) {
    const [x, y, across] = tip;
    const isCross = across > 0;
    return [{ x: x + across / 2, y: isCross ? y + across / 2 : y, element, colour: isCross ? stroke : fill }];
  }
  const starts = [...path.matchAll(/M(\S+) (\S+)/g)].map(([, x, y]): SamplePoint => {
    return { x: Number(x) + 3, y: Number(y), element, colour: stroke };
  });
  return attributes.has('stroke-dasharray') ? starts : [...starts, ...middles(element, path)];
}

function middles(element: string, path: string): SamplePoint[] {
  let [x, y] = [0, 0];
  return [...path.matchAll(/([MHVQ])([^MHVQ]*)/g)].flatMap(([, command, rest]) => {
    const numbers = rest.trim().split(/\s+/).map(Number);
    const [fromX, fromY] = [x, y];
    x = command === 'V' ? fromX : (numbers.at(command === 'H' ? -1 : -2) ?? 0);
    y = command === 'H' ? fromY : (numbers.at(-1) ?? 0);
    const isLong = Math.abs(x - fromX) + Math.abs(y - fromY) > 4;
    return isLong && (command === 'H' || command === 'V') ? [{ x: (fromX + x) / 2, y: (fromY + y) / 2, element }] : [];
  });
}
