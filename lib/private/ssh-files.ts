import type { Construct } from 'constructs';
import type { Arguments } from './arguments';
import { isKeyText, shown } from './shown';
import { expressionOf } from './tokens';

const MOST_BYTES_OF_PATH = 4095;

/** Matches a token that becomes the contents of a file, or a key that a resource made. */
const CONTENTS = /\$\{(?:[a-z]+\()*(?:file|filebase64|base64decode)\(|\.private_key_(?:pem|openssh)/;

/**
 * Checks the path of a file on the machine that runs Terraform. A value that may be a key is never shown.
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
      `${property} is the contents of a file, or a key, so the state would show it to everybody. Give the path of the file.`,
    );
  }
  const value = shown(path) && ` ${shown(path)}`;
  if (/[\n\r\0]/.test(path)) {
    throw args.error(
      `${property} has a line break, so it is not a path. It is not shown here. Give the path of the file.`,
    );
  }
  if (/^(ssh-|ecdsa-|sk-)\S+ AAAA/.test(path)) {
    throw args.error(`${property}${value} is the text of a key or certificate. Give the path of its file.`);
  }
  if (Buffer.byteLength(path) > MOST_BYTES_OF_PATH) {
    throw args.error(
      `${property} is too long: ${Buffer.byteLength(path)} bytes, but a path has at most ${MOST_BYTES_OF_PATH}. Give the path of the file.`,
    );
  }
  if (/^~[^/]/.test(path)) {
    throw args.error(
      `${property}${value} begins with "~" and a user name, but Terraform expands only "~/". Give the whole path.`,
    );
  }
  if (isPrivate && path.endsWith('.pub')) {
    const meant = shown(path.slice(0, -'.pub'.length));
    throw args.error(
      `${property}${value} has the name of a public key. ${meant ? `Did you mean ${meant}?` : 'Give the path of the private key.'}`,
    );
  }
  if (isPrivate && path.endsWith('.ppk')) {
    throw args.error(
      `${property}${value} is a PuTTY key, which Terraform cannot read. Convert it: puttygen KEY.ppk -O private-openssh -o KEY.`,
    );
  }
}
