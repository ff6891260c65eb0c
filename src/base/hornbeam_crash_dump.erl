%%% Whether the VM leaves a crash dump: no, unless the option crash_dump_dir asks for one.
%%%
%%% A dump holds what the VM held: private keys, cookies, bearer tokens, the values of `env'. The launcher and config/release.sh
%%% start the VM with ERL_CRASH_DUMP_BYTES=0, so that none is written, whenever it ends; the VM reads these variables
%%% when it crashes, so allow/2 can change them while it runs. Called by: hornbeam_cli.
%%%
%%% Limits: one file for each name of a server, which the next crash overwrites, of at most ?MAX_BYTES.
-module(hornbeam_crash_dump).

-export([allow/2]).

-define(MAX_BYTES, 268435456).

%% @doc Folder: `<<>>' for no dump; else made with mode 0700, or refused when others may look into it.
-spec allow(Folder :: binary(), Server :: atom()) -> ok | {error, iodata()}.
allow(<<>>, _Server) ->
    ok;
allow(Folder, Server) ->
    case hornbeam_private_folder:make(Folder) of
        ok ->
            File = filename:join(filename:absname(Folder), <<(atom_to_binary(Server))/binary, ".erl_crash.dump">>),
            true = os:putenv("ERL_CRASH_DUMP", unicode:characters_to_list(File)),
            true = os:putenv("ERL_CRASH_DUMP_BYTES", integer_to_list(?MAX_BYTES)),
            ok;
        {error, Text} ->
            {error, Text}
    end.
