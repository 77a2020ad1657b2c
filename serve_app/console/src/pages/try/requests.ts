/** A call of the service as it is shown: files by the field they are sent in. */
export interface Call {
  path: string;
  files: { field: string; name: string }[];
}

/** In single quotes for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For a shell that took `semblance env`. */
export function curl({ path, files }: Call): string {
  const parts = files.map(({ field, name }) => `  -F ${quoted(`${field}=@${name}`)} \\`);
  return ['curl -H "Authorization: Bearer $SEMBLANCE_KEY" \\', ...parts, `  "$SEMBLANCE_URL${path}"`].join('\n');
}

/** With httpx, in the same shell. */
export function python({ path, files }: Call): string {
  const parts = files.map(
    ({ field, name }) => `        (${JSON.stringify(field)}, open(${JSON.stringify(name)}, "rb")),`,
  );
  return [
    'import os',
    '',
    'import httpx',
    '',
    'answer = httpx.post(',
    `    os.environ["SEMBLANCE_URL"] + ${JSON.stringify(path)},`,
    '    headers={"Authorization": "Bearer " + os.environ["SEMBLANCE_KEY"]},',
    '    files=[',
    ...parts,
    '    ],',
    ')',
    'answer.raise_for_status()',
    'print(answer.json())',
  ].join('\n');
}

const SHOWN = 3;
const LONG = 12;

/** JSON for people: long lists of numbers, such as embeddings and landmarks, are cut, and short ones are one line. */
export function readable(answer: unknown): string {
  return lines(answer, '');
}

function lines(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length > LONG) {
      const begin = value.slice(0, SHOWN).map((item) => JSON.stringify(item));
      return `[${begin.join(', ')}, … ${value.length} in all]`;
    }
    if (value.every((item) => typeof item !== 'object')) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    return `[\n${value.map((item) => inner + lines(item, inner)).join(',\n')}\n${indent}]`;
  }
  const fields = Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${lines(item, inner)}`);
  return fields.length === 0 ? '{}' : `{\n${fields.join(',\n')}\n${indent}}`;
}
