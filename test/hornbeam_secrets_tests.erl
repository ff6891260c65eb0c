%%% No secret option reaches a crash report: neither by a process's state nor by the arguments of a child.
-module(hornbeam_secrets_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

mount() ->
    {ok, Config} = hornbeam_options:validate(#{app => "a:b", env => ["TOKEN=hush"]}),
    [Mount] = hornbeam_mounts:build(default, Config),
    Mount.

pool_id() ->
    #mount{pool = Id} = mount(),
    Id.

text(Term) ->
    unicode:characters_to_list(io_lib:format("~tp", [Term])).

mounts_are_masked_test() ->
    ?assertNotEqual(nomatch, string:find(text(mount()), "hush")),
    ?assertEqual(nomatch, string:find(text(hornbeam_mounts:masked(mount())), "hush")).

%% The state as the process itself makes it.
states_are_masked_test_() ->
    {setup,
     fun() ->
         {ok, Tables} = hornbeam_tables:start_link(),
         unlink(Tables),
         ok = hornbeam_mounts:publish(default, [mount()]),
         Tables
     end,
     fun(Tables) -> ok = hornbeam_mounts:forget(default), ok = gen_server:stop(Tables) end,
     [fun() ->
          {ok, Pool, _} = hornbeam_pool:init({self(), pool_id()}),
          ?assertNotEqual(nomatch, string:find(text(Pool), "hush")),
          ?assertEqual(nomatch, string:find(text(hornbeam_pool:format_status(#{state => Pool})), "hush"))
      end,
      fun() ->
          {ok, _, Worker, _} = hornbeam_worker:init(#{number => 1, pool => self(), mount => mount(), answered => true, preload => none,
                                                      waiting => {atomics:new(1, []), 1}}),
          ?assertNotEqual(nomatch, string:find(text(Worker), "hush")),
          ?assertEqual(nomatch, string:find(text(hornbeam_worker:format_status(#{data => Worker})), "hush"))
      end,
      fun() ->
          {ok, {_, Children}} = hornbeam_pool_sup:init(pool_id()),
          ?assertEqual(nomatch, string:find(text(Children), "hush"))
      end]}.
