import eslint from '@eslint/js';
import jsdoc from 'eslint-plugin-jsdoc';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['**/node_modules/', 'dist/', '**/*.js', '**/*.d.ts', '**/*.mjs', '**/cdktf.out/'] },
  eslint.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-control-regex': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-function-return-type': ['error', { allowExpressions: true }],
      '@typescript-eslint/explicit-member-accessibility': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-floating-promises': 'error',
    },
  },
  {
    // The public surface: every file of lib/ itself.
    files: ['lib/*.ts'],
    plugins: { jsdoc },
    settings: { jsdoc: { ignoreInternal: true } },
    rules: {
      'jsdoc/require-jsdoc': [
        'error',
        {
          publicOnly: true,
          require: { ClassDeclaration: true, MethodDefinition: true, FunctionDeclaration: true },
          contexts: [
            'TSInterfaceDeclaration',
            'TSInterfaceDeclaration > TSInterfaceBody > TSPropertySignature',
            'TSEnumDeclaration',
            'TSEnumMember',
          ],
        },
      ],
      'jsdoc/require-param': [
        'error',
        {
          checkConstructors: true,
          checkDestructured: false,
          contexts: ['MethodDefinition[accessibility="public"] > FunctionExpression'],
        },
      ],
      'jsdoc/no-types': 'error',
    },
  },
  {
    // Which way the data flows: constructs -> model -> persistence -> delivery -> host.
    files: ['lib/model/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['cdktf', 'constructs', '@cdktf/*', '../*'] }] },
  },
  ...Object.entries({
    fib: ['model'],
    reachability: ['model', 'fib'],
    verify: ['model', 'fib', 'reachability'],
    report: ['model', 'fib', 'reachability'],
  }).map(([folder, imports]) => ({
    files: [`lib/${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            'cdktf',
            'constructs',
            '@cdktf/*',
            '../*',
            ...imports.map((each) => `!../${each}`),
            'node:*',
            'fs',
            'child_process',
          ],
        },
      ],
    },
  })),
  {
    files: ['lib/persistence/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: ['cdktf', 'constructs', '@cdktf/*', '../delivery/*', '../agent/*'] },
      ],
    },
  },
  {
    files: ['lib/agent/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['cdktf', 'constructs', '@cdktf/*', '../*'] }] },
  },
  {
    files: ['test/**/*.ts', 'examples/**/*.ts', 'scripts/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/explicit-member-accessibility': 'off',
      // What jest's matchers give is `any`.
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
);
