import type { Construct } from 'constructs';
import type { Arguments } from './arguments';
import { isKeyText, shown } from './shown';
import { expressionOf } from './tokens';

const MOST_BYTES_OF_PATH = 4095;

/** Whether a token becomes the contents of a file, or the key that a resource has made. */
const CONTENTS = /\$\{(?:[a-z]+\()*(?:file|filebase64|base64decode)\(|\.private_key_(?:pem|openssh)/;

/**
 * The path of a file on the machine that runs Terraform. What is no path is not shown where it may be a key.
 *
 * @param isPrivate - whether it is that of a private key
 */
export function checkFile(
  args: Arguments,
  scope: Construct,
  path: string | undefined,
  property: string,
  isPrivate: boolean,
): void {
  if (path === undefined) {
    return;
  }
  const expression = expressionOf(path, scope);
  if (CONTENTS.test(expression) || isKeyText(expression)) {
    throw args.error(
      `${property} is the contents of a file, or a key, which would stand in the state for all to read. Give the path of the file.`,
    );
  }
  const value = shown(path) && ` ${shown(path)}`;
  if (/[\n\r\0]/.test(path)) {
    throw args.error(
      `${property} has a line break in it, so it is no path; it is not shown. Give the path of the file.`,
    );
  }
  if (/^(ssh-|ecdsa-|sk-)\S+ AAAA/.test(path)) {
    throw args.error(`${property}${value} is the text of a key or certificate. Give the path of its file.`);
  }
  if (Buffer.byteLength(path) > MOST_BYTES_OF_PATH) {
    throw args.error(
      `${property} is too long: ${Buffer.byteLength(path)} bytes, and a path has at most ${MOST_BYTES_OF_PATH}. Give the path of the file.`,
    );
  }
  if (/^~[^/]/.test(path)) {
    throw args.error(
      `${property}${value} begins with "~" and a user, but Terraform knows only its own home, "~/". Write the whole path.`,
    );
  }
  if (isPrivate && path.endsWith('.pub')) {
    const meant = shown(path.slice(0, -'.pub'.length));
    throw args.error(
      `${property}${value} is a public key by its name. ${meant ? `Did you mean ${meant}?` : 'Give that of the private key.'}`,
    );
  }
  if (isPrivate && path.endsWith('.ppk')) {
    throw args.error(
      `${property}${value} is a key of PuTTY, which Terraform cannot read. Convert it: puttygen KEY.ppk -O private-openssh -o KEY.`,
    );
  }
}
