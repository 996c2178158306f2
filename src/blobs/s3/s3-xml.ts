/**
 * The XML of S3's answers as a small tree. It comes from whatever answered, so everything is bounded: the depth, the number
 * of elements, and (by whoever reads the answer) the bytes. Document types are refused; no entity but XML's own five and
 * those by number is replaced.
 */
import sax from 'sax';
import { BlobError } from '../blob-store.ts';

export interface XmlElement {
  /** Without a namespace's prefix. */
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** What it holds directly, without white space around it. */
  readonly text: string;
}

interface Building {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

const depthMax = 8;
const elementsMax = 50_000;

/** @throws {BlobError} `blob-unavailable` when it is no such XML: whoever sent it is no S3 server, or it was cut short */
export function parseXml(bytes: Uint8Array): XmlElement {
  const open: Building[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  const parser = sax.parser(true, { position: false });
  parser.onopentag = ({ name }) => {
    elements += 1;
    if (open.length >= depthMax || elements > elementsMax) throw notXml('it is deeper or longer than any answer of S3');
    open.push({ name: name.slice(name.indexOf(':') + 1), children: [], text: '' });
  };
  const addText = (text: string): void => {
    const element = open.at(-1);
    if (element !== undefined) element.text += text;
  };
  parser.ontext = addText;
  parser.oncdata = addText;
  parser.onclosetag = () => {
    const element = open.pop();
    if (element === undefined) return;
    const closed = { ...element, text: element.text.trim() };
    const parent = open.at(-1);
    if (parent === undefined) root = closed;
    else parent.children.push(closed);
  };
  parser.ondoctype = () => {
    throw notXml('it has a document type');
  };
  parser.onerror = (error) => {
    throw notXml(error.message.split('\n')[0] ?? '');
  };
  parser.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')).close();
  if (root === undefined) throw notXml('it is empty');
  return root;
}

/** The text of the first child of that name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** An element with this text, which may hold anything but control characters. */
export function xmlElement(name: string, text: string): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<${name}>${escaped}</${name}>`;
}

function notXml(why: string): BlobError {
  return new BlobError('blob-unavailable', `the answer is no XML as S3 sends it: ${why}`);
}
