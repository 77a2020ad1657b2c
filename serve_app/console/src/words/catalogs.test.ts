/** Both languages say the same things, and the sources ask for what is there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).map((name) => join('src', name));

/** id -> sentence of each catalog, as they stand in the file. */
function read(file: string): Map<string, string> {
  const entries = readFileSync(file, 'utf8').matchAll(/^msgid "(.+)"\nmsgstr "(.*)"$/gm);
  return new Map([...entries].map(([, id, sentence]) => [id ?? '', sentence ?? '']));
}

const english = files.filter((file) => file.endsWith('words.en.po')).sort();
const ids = english.flatMap((file) => [...read(file).keys()]);

/** What the sources give to `words`: whole ids, and the beginnings of ids that are put together. */
function used(): { whole: Set<string>; beginnings: Set<string> } {
  const whole = new Set<string>();
  const beginnings = new Set<string>();
  const collect = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) whole.add(node.text);
    else if (ts.isTemplateExpression(node)) beginnings.add(node.head.text);
    else if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(collect);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === 'words' && node.arguments[0]) {
      collect(node.arguments[0]);
    }
    // Ids that data names, as `title: 'gallery.title'`, say so.
    if (ts.isSatisfiesExpression(node) && node.type.getText() === 'WordId') collect(node.expression);
    ts.forEachChild(node, visit);
  };
  for (const file of files.filter((name) => /\.tsx?$/.test(name))) {
    visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true));
  }
  return { whole, beginnings };
}

describe('words', () => {
  it.each(english)('%s says the same in German', (file) => {
    const german = read(file.replace('.en.po', '.de.po'));
    const here = read(file);
    expect([...german.keys()].sort()).toEqual([...here.keys()].sort());
    expect([...here, ...german].filter(([, sentence]) => sentence === '')).toEqual([]);
    const values = (sentence: string | undefined) => [...new Set(sentence?.match(/\{\w+(?=[,}])/g))].sort();
    for (const [id, sentence] of here) expect(values(german.get(id)), id).toEqual(values(sentence));
  });

  it('has no id in two catalogs', () => {
    expect(ids.filter((id, place) => ids.indexOf(id) !== place)).toEqual([]);
  });

  it('has every id that the sources use, and no other', () => {
    const { whole, beginnings } = used();
    const begins = (id: string) => [...beginnings].some((beginning) => id.startsWith(beginning));
    expect([...whole].filter((id) => !ids.includes(id))).toEqual([]);
    expect([...beginnings].filter((beginning) => !ids.some((id) => id.startsWith(beginning)))).toEqual([]);
    expect(ids.filter((id) => !whole.has(id) && !begins(id))).toEqual([]);
  });
});
