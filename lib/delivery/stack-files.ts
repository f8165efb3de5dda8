import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TerraformStack } from 'cdktf';
import { addCustomSynthesis } from 'cdktf/lib/synthesize/synthesizer';
import type { Construct } from 'constructs';
import { HOST_FILES } from '../model/host-file';
import { expression, literal, quoted } from './escape';

/** A file beside the Terraform configuration of a stack. */
export interface StackFile {
  readonly name: string;
  readonly text: string;
}

/**
 * A file for provisioners. Its name has a digest of the text: a plan that somebody has reviewed must not read what a
 * later synth has written.
 */
export function provisionerFile(stem: string, ending: string, text: string): StackFile {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return { name: `${stem}.${digest}.${ending}`, text };
}

/**
 * The text of a file, as an expression. In the configuration itself, Terraform would look for templates in every line,
 * several times for each host. A provisioner that runs at destroy may name `path`, but no `local`.
 */
export function fileContents({ name }: StackFile): string {
  const path = quoted(`/${HOST_FILES}/${name}`).slice(1);
  return expression(`file("${expression('path.module')}${path})`);
}

/** Where the file is, for a program that runs where Terraform runs. */
export function pathOf({ name }: StackFile): string {
  return `${expression('path.module')}/${HOST_FILES}/${literal(name)}`;
}

/** The texts that an app has written, by their paths, so that what all hosts of a stack share is written once. */
const written = new WeakMap<object, Map<string, string>>();

/** Makes each synth write files beside the configuration of the stack that a construct is in. */
export function writeStackFiles(construct: Construct, files: () => readonly StackFile[]): void {
  addCustomSynthesis(construct, {
    onSynthesize: ({ outdir, manifest }) => {
      const { workingDirectory } = manifest.forStack(TerraformStack.of(construct));
      const directory = join(outdir, workingDirectory, HOST_FILES);
      const known = written.get(manifest) ?? new Map<string, string>();
      written.set(manifest, known);
      mkdirSync(directory, { recursive: true });
      for (const { name, text } of files()) {
        const path = join(directory, name);
        if (known.get(path) !== text) writeFileSync(path, text);
        known.set(path, text);
      }
    },
  });
}
