import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { drawing } from '../../lib/report/report';
import { describeUnless } from '../lab/describe-unless';
import { ensureRequirements, pictureTestRequirements } from '../lab/requirements';
import { egress, howTo, large, mixed } from '../report/hosts';
import { samplePoints } from './sample-points';

const ROOT = resolve(__dirname, '../..');
const MINUTE = 60_000;
/** Of each of red, green and blue: renderers do not round alike. */
const TOLERANCE = 3;

type Rgb = readonly [number, number, number];

/** The colours of one picture at its sample points, as librsvg and Chromium show them. */
interface Shown {
  readonly librsvg: readonly Rgb[];
  readonly chromium: readonly Rgb[];
}

/** All that are in the repository, and some with what is in none of those. */
function picturesByName(): Map<string, string> {
  const files = ['docs', 'test'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.svg'))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return new Map([
    ...files.map((file) => [relative(ROOT, file), readFileSync(file, 'utf8')] as const),
    ['a leak while a link is down', drawing(egress(false))],
    ['what is not known', drawing(howTo())],
    ['rejected, marked', drawing(mixed())],
    ['many rows', drawing(large(12, 2))],
  ]);
}

/** Writes the colours at the points of each image as text, once the images are there. */
const SCRIPT = `
  function colours(image, points) {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data, width } = context.getImageData(0, 0, canvas.width, canvas.height);
    return points.map(([x, y]) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)]);
  }
  onload = () => {
    const shown = [...document.images].map((image, index) => colours(image, POINTS[Math.floor(index / 2)]));
    document.documentElement.textContent = JSON.stringify(shown);
  };
`;

/** One start of the browser for all pictures: it also reads what librsvg has drawn. */
function show(pictures: ReadonlyMap<string, string>, scheme: 'light' | 'dark'): Map<string, Shown> {
  const directory = mkdtempSync(join(tmpdir(), 'pictures-'));
  const image = (type: string, content: Buffer): string =>
    `<img src="data:${type};base64,${content.toString('base64')}">`;
  try {
    const images = [...pictures.values()].flatMap((svg) => [
      image('image/png', execFileSync('rsvg-convert', ['--format=png'], { input: svg })),
      image('image/svg+xml', Buffer.from(svg)),
    ]);
    const points = [...pictures.values()].map((svg) =>
      samplePoints(svg).map(({ x, y }) => [Math.floor(x), Math.floor(y)]),
    );
    const page = join(directory, 'page.html');
    const script = `<script>const POINTS = ${JSON.stringify(points)};${SCRIPT}</script>`;
    writeFileSync(page, `<!doctype html><title>pictures</title>${script}${images.join('')}`);
    const options = [
      ...['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${directory}`],
      `--blink-settings=preferredColorScheme=${scheme === 'dark' ? 0 : 1}`,
    ];
    const dom = execFileSync('chromium', [...options, '--dump-dom', `file://${page}`], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: Infinity,
    });
    const shown = JSON.parse(dom.replace(/<[^>]*>/g, '')) as Rgb[][];
    return new Map(
      [...pictures.keys()].map((name, index) => [name, { librsvg: shown[2 * index], chromium: shown[2 * index + 1] }]),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function rgb(colour: string): Rgb {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return [red, green, blue];
}

function isAlike(one: Rgb, other: Rgb): boolean {
  return one.every((value, index) => Math.abs(value - other[index]) <= TOLERANCE);
}

describeUnless(ensureRequirements(pictureTestRequirements), 'the pictures', () => {
  const pictures = picturesByName();
  let light: Map<string, Shown>;
  beforeAll(() => {
    light = show(pictures, 'light');
  }, 3 * MINUTE);

  test.each([...pictures.keys()])('%s: librsvg and Chromium show the colours that its elements say', (name) => {
    const points = samplePoints(pictures.get(name) ?? '');
    const { librsvg, chromium } = light.get(name) ?? { librsvg: [], chromium: [] };
    expect([librsvg.length, chromium.length]).toEqual([points.length, points.length]);
    const wrong = points.flatMap(({ x, y, element, colour }, index) => {
      const [one, other] = [librsvg[index], chromium[index]];
      const isRight = isAlike(one, other) && (colour === undefined || isAlike(rgb(colour), one));
      return isRight ? [] : [`librsvg ${one.join()}, Chromium ${other.join()} at ${x},${y}: ${element}`];
    });
    expect(wrong).toEqual([]);
    // Each of them says its colours itself, and most can be seen.
    expect(points.filter(({ colour }) => colour !== undefined).length).toBeGreaterThan(points.length / 2);
  });

  test(
    'in a dark theme Chromium shows none of the light colours of boxes',
    () => {
      const dark = show(pictures, 'dark');
      for (const [name, { chromium }] of dark) {
        const boxes = samplePoints(pictures.get(name) ?? '').flatMap(({ element }, index) =>
          element.startsWith('<rect') && !element.includes('fill-leak"') ? [chromium[index]] : [],
        );
        expect(boxes.filter((colour) => Math.min(...colour) > 128)).toEqual([]);
      }
    },
    3 * MINUTE,
  );
});
