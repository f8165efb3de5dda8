const TOKEN = /<(\/?)([A-Za-z]+)((?: [a-zA-Z-]+="[^"<&]*")*)(\/?)>|[^<&>]+|&(?:amp|lt|gt|quot|#39);/y;

/** Throws where a text is not well-formed XML of elements, attributes and text. */
export function checkXml(text: string): void {
  const open: string[] = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) {
      throw new Error(`no XML at ${at}: ${JSON.stringify(text.slice(at, at + 60))}`);
    }
    const [token, closing, name, , empty] = found;
    if (name !== undefined && closing) {
      const last = open.pop();
      if (last !== name) throw new Error(`</${name}> closes <${last}> at ${at}`);
    } else if (name !== undefined && !empty) {
      if (at > 0 && open.length === 0) throw new Error(`a second root <${name}> at ${at}`);
      open.push(name);
    }
    at += token.length;
  }
  if (open.length > 0) throw new Error(`<${open.join('><')}> is never closed`);
}
