import { xmlText } from './escape';

const LIGHT = {
  back: '#ffffff',
  box: '#f6f8fa',
  edge: '#d0d7de',
  text: '#1f2328',
  quiet: '#656d76',
  egress: '#0969da',
  uplink: '#d15704',
  leak: '#cf222e',
  leakBox: '#fff0ee',
  onLeak: '#ffffff',
  local: '#7d8590',
  rejected: '#8250df',
  unknown: '#bf3989',
};

export type Colour = keyof typeof LIGHT;

const DARK: Readonly<Record<Colour, string>> = {
  back: '#0d1117',
  box: '#161b22',
  edge: '#30363d',
  text: '#e6edf3',
  quiet: '#9198a1',
  egress: '#58a6ff',
  uplink: '#ff9248',
  leak: '#ff6a69',
  leakBox: '#2d1619',
  onLeak: '#0d1117',
  local: '#8b949e',
  rejected: '#bc8cff',
  unknown: '#f778ba',
};

const PROPERTIES = ['fill', 'stroke'] as const;

/**
 * Returns the only style sheet. It changes the colours of these elements in a dark theme. Renderers without style
 * sheets or media queries show the light picture.
 */
export function darkStyle(elements: readonly string[]): string {
  const text = elements.join('\n');
  const rules = (Object.keys(DARK) as Colour[]).flatMap((colour) =>
    PROPERTIES.filter((property) => text.includes(`${property}-${colour}`)).map(
      (property) => `  .${property}-${colour} { ${property}: ${DARK[colour]} }`,
    ),
  );
  return ['<style>', '@media (prefers-color-scheme: dark) {', ...rules, '}', '</style>'].join('\n');
}

/** Returns colours as attributes, which every renderer understands, and as classes for the dark theme. */
export function paint(colours: { readonly fill?: Colour; readonly stroke?: Colour }): string {
  const used = PROPERTIES.flatMap((property) => {
    const colour = colours[property];
    return colour === undefined ? [] : [{ property, colour }];
  });
  const classes = used.map(({ property, colour }) => `${property}-${colour}`).join(' ');
  return `class="${classes}" ${used.map(({ property, colour }) => `${property}="${LIGHT[colour]}"`).join(' ')}`;
}

export interface TextStyle {
  readonly colour?: Colour;
  readonly isBold?: boolean;
  readonly size?: number;
  readonly anchor?: 'middle' | 'end';
}

export function text(x: number, y: number, words: string, style: TextStyle = {}): string {
  const { colour = 'text', isBold, size, anchor } = style;
  const attributes = [
    paint({ fill: colour }),
    ...(isBold ? ['font-weight="bold"'] : []),
    ...(size === undefined ? [] : [`font-size="${size}"`]),
    ...(anchor === undefined ? [] : [`text-anchor="${anchor}"`]),
  ];
  return `<text x="${n(x)}" y="${n(y)}" ${attributes.join(' ')}>${xmlText(words)}</text>`;
}

/** Draws a rectangle with its border inside. Its edges are on whole pixels, so that all renderers draw it alike. */
export function rectangle(
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
  attributes: string,
  border = 0,
): string {
  const [left, top] = [x, y].map((value) => n(value + border / 2));
  const size = `width="${n(width - border)}" height="${n(height - border)}"`;
  const stroke = border === 0 ? '' : ` stroke-width="${border}"`;
  return `<rect x="${left}" y="${top}" ${size} rx="6" ${attributes}${stroke}/>`;
}

/** Formats a number with at most one decimal. */
export function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}
