import type { EventEmitter } from 'node:events';
import pg from 'pg';

interface Told {
  readonly parameterName: string;
  readonly parameterValue: string;
}

/**
 * A connection on which times come in ISO's form, whatever the database or its role is set to: pg reads no other
 * form, and gives no error. A server tells its setting as a connection begins, so this costs nothing where it is ISO.
 */
export class IsoClient extends pg.Client {
  #style = 'ISO';

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const { connection } = this as unknown as { readonly connection: EventEmitter };
    connection.on('parameterStatus', ({ parameterName, parameterValue }: Told) => {
      if (parameterName === 'DateStyle') this.#style = parameterValue;
    });
  }

  /** To be called before anything is asked. A pooler such as PgBouncer keeps this setting for each of its clients. */
  speakIso(): void {
    // A connection that breaks here says so to the next statement.
    if (!this.#style.startsWith('ISO')) this.query("set datestyle to 'ISO'").catch(() => {});
  }
}
