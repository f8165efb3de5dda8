import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { IMAGES, pictures } from '../../scripts/pictures';

test('docs/images is what npm run docs draws', () => {
  const drawn = pictures();
  expect(
    readdirSync(IMAGES)
      .filter((name) => name.endsWith('.svg'))
      .sort(),
  ).toEqual([...drawn.keys()].sort());
  drawn.forEach((picture, name) => expect(picture).toBe(readFileSync(join(IMAGES, name), 'utf8')));
});
