import type { EventEmitter } from 'node:events';
import pg from 'pg';
import { markPlace, type Place } from './place.ts';

interface Told {
  readonly parameterName: string;
  readonly parameterValue: string;
}

/** A connection's settings; `from`: what gave its address, as errors are to name it. */
export interface IsoConfig extends pg.ClientConfig {
  readonly from?: string | null;
}

type Connected = ((error: Error) => void) | ((error: null, client: pg.Client) => void);

/**
 * A connection on which times come in ISO's form, whatever the database or its role is set to: pg reads no other
 * form, and gives no error. A server tells its setting as a connection begins, so this costs nothing where it is ISO.
 * Its errors bear the mark of their place.
 */
export class IsoClient extends pg.Client {
  #style = 'ISO';
  readonly #mark: (error: unknown) => void;

  constructor(config: IsoConfig = {}) {
    super(config);
    const { host, port, database = '', user: role = '' } = this;
    const place: Place = { from: config.from ?? null, host, port, database, role };
    this.#mark = (error) => markPlace(error, place);
    const { connection } = this as unknown as { readonly connection: EventEmitter };
    connection.on('parameterStatus', ({ parameterName, parameterValue }: Told) => {
      if (parameterName === 'DateStyle') this.#style = parameterValue;
    });
    connection.on('errorMessage', this.#mark);
    connection.on('error', this.#mark);
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: Connected): void;
  override connect(callback?: Connected): unknown {
    if (callback === undefined) {
      return super.connect().catch((error: unknown) => {
        this.#mark(error);
        throw error;
      });
    }
    return super.connect((error: Error) => {
      this.#mark(error);
      (callback as (error: Error) => void)(error);
    });
  }

  /** To be called before anything is asked. A pooler such as PgBouncer keeps this setting for each of its clients. */
  speakIso(): void {
    // A connection that breaks here says so to the next statement.
    if (!this.#style.startsWith('ISO')) this.query("set datestyle to 'ISO'").catch(() => {});
  }
}
