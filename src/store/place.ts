/** Where a connection leads, and as whom. Holds no secret. */
export interface Place {
  /** What gave the address: `DATABASE_URL`, `logkeep.yaml: database_url`; null: not told. */
  readonly from: string | null;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly role: string;
}

const places = new WeakMap<Error, Place>();

/** Notes that `error` came from `place`, for whoever gives it words. */
export function markPlace(error: unknown, place: Place): void {
  if (error instanceof Error) places.set(error, place);
}

/** Where `error`, or what caused it, came from; null: nobody noted it. */
export function placeOf(error: unknown): Place | null {
  if (!(error instanceof Error)) return null;
  return places.get(error) ?? placeOf(error.cause);
}

/** A place as messages name it: `DATABASE_URL (db.example:5432/logs)`. */
export function placeText({ from, host, port, database }: Place): string {
  const at = `${host}:${port}/${database}`;
  return from === null ? at : `${from} (${at})`;
}
