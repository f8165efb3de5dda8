// Strips the types of a test or of the library: `npm run types` checks them, once for all.
const { createHash } = require('node:crypto');
const { transformSync, version } = require('esbuild');

const OPTIONS = {
  loader: 'ts',
  format: 'cjs',
  target: 'node20',
  sourcemap: 'both',
  // jest knows of `import()` only where it can start a module loader.
  supported: { 'dynamic-import': false },
};

module.exports = {
  getCacheKey: (source, path) =>
    createHash('sha256')
      .update(JSON.stringify([source, path, version, OPTIONS]))
      .digest('hex'),
  process: (source, sourcefile) => transformSync(source, { ...OPTIONS, sourcefile }),
};
